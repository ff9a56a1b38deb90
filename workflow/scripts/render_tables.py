"""Render the tables as one page for the report, and the verdicts that it opens with."""

from truthtag.data.files import atomic_write, read_csv
from truthtag.workflow.logs import job_log
from truthtag.workflow.report import (
    power_sentences,
    render_page,
    too_few_events,
    verdict_page,
    with_titles,
)

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        # Without a truth there is no coverage.
        tables = {name: read_csv(path) for name, path in snakemake.input.items()}
        minimum = snakemake.params.get("minimum_events", 0.0)
        warnings = too_few_events(tables["verdict"], tables.get("samples"), minimum)
        remarks = power_sentences(tables["power"]) if "power" in tables else []
        pages = {
            snakemake.output.tables: render_page(with_titles(tables)),
            snakemake.output.verdict: verdict_page(tables["verdict"], warnings, remarks),
        }
        for path, page in pages.items():
            with atomic_write(path) as temporary:
                temporary.write_text(page)
        for warning in warnings:
            log.warning(warning)
        log.info("%d tables", len(tables))
