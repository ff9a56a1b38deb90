"""Count tagged and predicted jets of one sample in cells."""

from truthtag.data.files import read_csv, read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import read_prediction
from truthtag.statistics.cells import Cells, fill_cells
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        jets = read_jets(snakemake.input.sample)
        predictions = {
            name: read_prediction(*files).aligned_to(jets)
            for name, files in params.predictions.items()
        }
        in_domain = read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy()
        frame = fill_cells(
            snakemake.wildcards.sample,
            jets,
            predictions,
            in_domain,
            params.flavours,
            Cells.from_options(params.cells),
            read_csv(snakemake.input.scales),
        )
        write_frame(frame, snakemake.output[0], {"cells": params.cells})
        log.info("%s: %d rows", snakemake.wildcards.sample, len(frame))
