"""Test closure in every histogram that a figure shows, and give a verdict."""

from pathlib import Path

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.statistics.verdict import closure_table, verdict_table
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        figures = {Path(path).stem: pd.read_csv(path) for path in snakemake.input}
        table = closure_table(figures, snakemake.params.minimum_variance, snakemake.params.p_value)
        write_frame(table, snakemake.output.closure)
        write_frame(verdict_table(table), snakemake.output.verdict)
        for verdict, count in table["verdict"].value_counts().items():
            log.info("%s: %d of %d histograms", verdict, count, len(table))
