"""Put the coverage of all jets of a flavour, and of histogram bins, in a table to read."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.statistics.coverage import coverage_table
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        table = coverage_table(
            pd.read_csv(snakemake.input.coverage), pd.read_csv(snakemake.input.scales)
        )
        write_frame(table, snakemake.output[0])
        log.info("%d rows", len(table))
