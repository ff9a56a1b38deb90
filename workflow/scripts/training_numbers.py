"""Collect the training histories of all networks in one table."""

import pandas as pd

from truthtag.data.files import read_frame, write_frame
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        parts = [
            read_frame(path, ("epoch", "train_loss", "validation_loss")).assign(
                network=network, seed=seed
            )
            for network, paths in snakemake.params.histories.items()
            for seed, path in enumerate(paths)
        ]
        write_frame(pd.concat(parts), snakemake.output[0])
        log.info("%d histories", len(parts))
