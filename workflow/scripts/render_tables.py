"""Render the tables as one page for the report, and the verdicts that it opens with."""

from truthtag.data.files import atomic_write, read_csv
from truthtag.estimators.ensemble import members_listed
from truthtag.workflow.logs import job_log
from truthtag.workflow.report import (
    left_out_sentences,
    power_sentences,
    render_page,
    too_few_events,
    verdict_page,
    with_titles,
)

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        # Without a truth there is no coverage.
        files = dict(snakemake.input.items())
        ensembles = zip(snakemake.params.ensembles, files.pop("ensembles"), strict=True)
        lacking = left_out_sentences({name: members_listed(path) for name, path in ensembles})
        tables = {name: read_csv(path) for name, path in files.items()}
        minimum = snakemake.params.get("minimum_events", 0.0)
        few = too_few_events(tables["verdict"], tables.get("samples"), minimum)
        warnings = [*lacking, *few]
        remarks = power_sentences(tables["power"]) if "power" in tables else []
        pages = {
            snakemake.output.tables: render_page(with_titles(tables), lacking),
            snakemake.output.verdict: verdict_page(tables["verdict"], warnings, remarks),
        }
        for path, page in pages.items():
            with atomic_write(path) as temporary:
                temporary.write_text(page)
        for warning in warnings:
            log.warning(warning)
        log.info("%d tables", len(tables))
