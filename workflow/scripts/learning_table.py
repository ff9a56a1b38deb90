"""Collect the regrets of the learning curve in a table to read."""

from truthtag.data.files import write_frame
from truthtag.figures.tables import read_rows
from truthtag.studies.learning_curve import learning_table
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        numbers = read_rows(list(snakemake.input))
        write_frame(learning_table(numbers), snakemake.output[0])
        log.info("%d points", len(snakemake.input))
