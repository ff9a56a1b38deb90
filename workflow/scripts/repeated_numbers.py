"""Compare the covariance that replicas claim with that of independently repeated training samples."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.studies.studies import repeated_covariance, repeated_coverage, repeated_errors
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        histograms, coverage = (
            pd.concat([pd.read_csv(path) for path in paths])
            for paths in (snakemake.input.histograms, snakemake.input.coverage)
        )
        write_frame(repeated_errors(histograms), snakemake.output.numbers)
        write_frame(repeated_covariance(histograms), snakemake.output.covariance)
        write_frame(repeated_coverage(coverage), snakemake.output.coverage)
        log.info("%d samples", histograms["sample"].nunique())
