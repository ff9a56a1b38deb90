"""Test closure in every histogram, and give a verdict."""

import pandas as pd

from truthtag.data.files import read_frame, write_frame
from truthtag.statistics.verdict import closure_table, verdict_table
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        histograms = pd.concat([read_frame(path) for path in snakemake.input], ignore_index=True)
        table = closure_table(histograms, params.minimum_events, params.p_value)
        write_frame(table, snakemake.output.closure)
        write_frame(verdict_table(table), snakemake.output.verdict)
        for verdict, count in table["verdict"].value_counts().items():
            log.info("%s: %d of %d histograms", verdict, count, len(table))
