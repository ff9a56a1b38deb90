"""Render the tables as one page for the report, and the verdicts that it opens with."""

from truthtag.data.files import atomic_write, read_csv
from truthtag.workflow.logs import job_log
from truthtag.workflow.report import render_page, verdict_page

TITLES = {
    "verdict": "Verdict: does weighting reproduce the tags?",
    "closure": "Closure: direct tagging against weights",
    "coverage": "Coverage: is the truth within the errors?",
    "likelihood": "Likelihood of the tags: difference to the best efficiency",
    "summary": "Against the truth, all jets",
    "in_range": "Against the truth, jets inside the training range",
    "in_domain": "Against the truth, jets in the domain",
}

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        tables = {name: read_csv(snakemake.input[name]) for name in TITLES}
        titled = {title: tables[name] for name, title in TITLES.items()}
        pages = {
            snakemake.output.tables: render_page(titled),
            snakemake.output.verdict: verdict_page(tables["verdict"]),
        }
        for path, page in pages.items():
            with atomic_write(path) as temporary:
                temporary.write_text(page)
        log.info("%d tables", len(tables))
