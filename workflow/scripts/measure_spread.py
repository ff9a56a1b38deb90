"""Compare the spread of the replicas of every efficiency with what tags say of its error."""

import pandas as pd

from truthtag.data.files import read_metadata, write_frame
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.statistics.points import joined
from truthtag.statistics.spread import SpreadOptions, spread_scales_in_blocks
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        given = params.options
        options = SpreadOptions(given["regions"], given["prior_width"], given["max_scale"])
        blocks = SampleBlocks(snakemake.input.sample, params.predictions)
        resamples = {}
        for name, files in params.predictions.items():
            # Which networks are partners.
            if (partners := read_metadata(files[1]).get("resamples")) is not None:
                resamples[name] = partners
        of_points = {
            point: spread_scales_in_blocks(blocks, params.flavours, options, resamples, point)
            for point in blocks.points
        }
        table = joined(of_points)
        names = list(dict.fromkeys(table["efficiency"]))
        table = pd.concat([table[table["efficiency"] == name] for name in names])
        table.insert(0, "efficiency", table.pop("efficiency"))
        for row in table.itertuples():
            where = f"{row.efficiency}, {row.flavour}"
            log.info("%s: scale %.2f +- %.2f", where, row.scale, row.error)
        for row in table.dropna(subset="sampling_share").itertuples():
            log.info(
                "%s, %s: %.2f +- %.2f of the variance of networks is that of the sample",
                row.efficiency,
                row.flavour,
                row.sampling_share,
                row.sampling_share_error,
            )
        write_frame(table, snakemake.output[0])
