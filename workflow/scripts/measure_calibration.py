"""Compare the tagged fraction of jets with the efficiency predicted for them."""

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.prediction_files import read_prediction
from truthtag.estimators.predictions import points_of
from truthtag.statistics.coverage import calibration
from truthtag.statistics.points import joined
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        jets = read_jets(snakemake.input.sample)
        tables = {}
        for point in points_of(jets):
            efficiencies = {
                name: read_prediction(file).aligned_to(jets).of_point(jets, point).values
                for name, file in params.predictions.items()
            }
            at_point = jets.at_point(point)
            tables[point] = calibration(at_point, efficiencies, params.flavours, params.bins)
        table = joined(tables)
        write_frame(table, snakemake.output[0])
        log.info("%d rows", len(table))
