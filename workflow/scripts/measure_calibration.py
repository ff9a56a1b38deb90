"""Compare the tagged fraction of jets with the efficiency predicted for them."""

from truthtag.data.files import write_frame
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.statistics.coverage import calibration_in_blocks
from truthtag.statistics.points import joined
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        blocks = SampleBlocks(snakemake.input.sample, params.predictions)
        tables = {}
        for point in blocks.points:
            tables[point] = calibration_in_blocks(blocks, params.flavours, params.bins, point)
        table = joined(tables)
        write_frame(table, snakemake.output[0])
        log.info("%d rows", len(table))
