"""Fail where a histogram that must close does not."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.statistics.verdict import require_closure
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        table = require_closure(
            pd.read_csv(snakemake.input[0], dtype={"efficiency": str}), snakemake.params.required
        )
        write_frame(table, snakemake.output[0])
        log.info("all %d required histograms close", len(table))
