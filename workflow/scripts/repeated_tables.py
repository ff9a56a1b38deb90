"""Compare the covariance that replicas claim with that of repeated training samples."""

from truthtag.data.files import write_frame
from truthtag.figures.tables import read_rows
from truthtag.studies.repeated_samples import (
    repeated_accuracy,
    repeated_covariance,
    repeated_coverage,
)
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        histograms = read_rows(list(snakemake.input.histograms))
        coverage = read_rows(list(snakemake.input.coverage))
        accuracy = read_rows(list(snakemake.input.accuracy))
        write_frame(repeated_covariance(histograms), snakemake.output.covariance)
        write_frame(repeated_coverage(coverage), snakemake.output.coverage)
        write_frame(repeated_accuracy(accuracy), snakemake.output.accuracy)
        log.info("%d samples", histograms["sample"].nunique())
