"""Collect the points of the learning curve, once in full and once as a table to read."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.studies.studies import learning_table
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        numbers = pd.concat(
            [pd.read_csv(path, dtype={"seeds": "Int64"}) for path in snakemake.input]
        )
        write_frame(numbers, snakemake.output.numbers)
        write_frame(learning_table(numbers), snakemake.output.table)
        log.info("%d points", len(snakemake.input))
