"""Test closure in every histogram that a figure shows."""

from pathlib import Path

import pandas as pd

from truthtag.figures import closure_table
from truthtag.logs import job_log
from truthtag.tables import write_frame

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        figures = {Path(path).stem: pd.read_csv(path) for path in snakemake.input}
        table = closure_table(figures, snakemake.params.minimum_variance)
        write_frame(table, snakemake.output[0])
        log.info("%d closure tests", len(table))
