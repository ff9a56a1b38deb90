"""Count tagged and predicted jets of one sample in cells."""

from truthtag.data.files import read_csv, write_frame
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.statistics.cells import Cells, fill_cells_in_blocks
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, files = snakemake.params, snakemake.input
        frame = fill_cells_in_blocks(
            snakemake.wildcards.sample,
            SampleBlocks(files.sample, params.predictions, files.domain),
            params.flavours,
            Cells.from_options(params.cells),
            read_csv(files.scales),
        )
        write_frame(frame, snakemake.output[0], {"cells": params.cells})
        log.info("%s: %d rows", snakemake.wildcards.sample, len(frame))
