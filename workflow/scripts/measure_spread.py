"""Compare the spread of the replicas of every efficiency with what tags say of its error."""

import pandas as pd

from truthtag.data.files import read_metadata, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.prediction_files import read_prediction
from truthtag.estimators.predictions import points_of
from truthtag.statistics.points import joined
from truthtag.statistics.spread import spread_scales
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        options = params.options
        jets = read_jets(snakemake.input.sample)
        tables = []
        for name, files in params.predictions.items():
            prediction = read_prediction(*files).aligned_to(jets)
            of_points = {}
            for point in points_of(jets):
                of_points[point] = spread_scales(
                    jets.at_point(point),
                    prediction.of_point(jets, point),
                    params.flavours,
                    options["regions"],
                    options["prior_width"],
                    options["max_scale"],
                    # Which networks are partners.
                    read_metadata(files[1]).get("resamples"),
                )
            table = joined(of_points)
            table.insert(0, "efficiency", name)
            tables.append(table)
            for row in table.itertuples():
                log.info("%s, %s: scale %.2f +- %.2f", name, row.flavour, row.scale, row.error)
            for row in table.dropna(subset="sampling_share").itertuples():
                log.info(
                    "%s, %s: %.2f +- %.2f of the variance of networks is that of the sample",
                    name,
                    row.flavour,
                    row.sampling_share,
                    row.sampling_share_error,
                )
        write_frame(pd.concat(tables), snakemake.output[0])
