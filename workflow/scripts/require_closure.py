"""Fail where a histogram that must close does not."""

from truthtag.data.files import read_csv, write_frame
from truthtag.statistics.verdict import require_closure
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        closure, overall = (read_csv(snakemake.input[name]) for name in ("closure", "overall"))
        table = require_closure(closure, snakemake.params.required, overall)
        write_frame(table, snakemake.output[0])
        log.info("all %d required closures hold", len(table))
