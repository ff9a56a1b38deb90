CLOSURE_FIGURES = ["fig6", "fig7", "fig8"]
TABLES = [
    f"{RESULTS}/tables/{name}"
    for name in (
        "summary.csv",
        "summary_in_range.csv",
        "summary_in_domain.csv",
        "likelihood.csv",
        "closure.csv",
        "verdict.csv",
        "coverage.csv",
        "scales.csv",
        "tables.html",
        "verdict.html",
        *(["required_closure.csv"] if config["closure"]["required"] else []),
    )
]


rule summary:
    input:
        samples=SAMPLES,
        predictions=[path for sample in config["samples"] for path in predictions(sample).values()],
        domains=DOMAINS,
    output:
        all_jets=f"{RESULTS}/tables/summary.csv",
        in_range=f"{RESULTS}/tables/summary_in_range.csv",
        in_domain=f"{RESULTS}/tables/summary_in_domain.csv",
        likelihood=f"{RESULTS}/tables/likelihood.csv",
    log:
        f"{RESULTS}/logs/tables/summary.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        samples={sample: shards(sample) for sample in config["samples"]},
        predictions={sample: predictions(sample) for sample in config["samples"]},
        domains={sample: domain(sample) for sample in config["samples"]},
        flavours=config["flavours"],
        in_range=config["closure"]["in_range"],
        code=code("summary.py"),
    message:
        "Comparing every efficiency with the truth"
    script:
        "../scripts/summary.py"


rule closure:
    input:
        [f"{RESULTS}/figures/{figure}.csv" for figure in CLOSURE_FIGURES],
    output:
        closure=f"{RESULTS}/tables/closure.csv",
        verdict=f"{RESULTS}/tables/verdict.csv",
    log:
        f"{RESULTS}/logs/tables/closure.log",
    conda:
        ENVIRONMENT
    params:
        figures=CLOSURE_FIGURES,
        minimum_variance=config["closure"]["minimum_variance"],
        p_value=config["closure"]["p_value"],
        code=code("closure.py"),
    message:
        "Testing closure in every histogram"
    script:
        "../scripts/closure.py"


rule require_closure:
    input:
        f"{RESULTS}/tables/closure.csv",
    output:
        f"{RESULTS}/tables/required_closure.csv",
    log:
        f"{RESULTS}/logs/tables/required_closure.log",
    conda:
        ENVIRONMENT
    params:
        required=config["closure"]["required"],
        code=code("require_closure.py"),
    message:
        "Checking that what must close closes"
    script:
        "../scripts/require_closure.py"


rule render_tables:
    input:
        verdict=f"{RESULTS}/tables/verdict.csv",
        closure=f"{RESULTS}/tables/closure.csv",
        coverage=f"{RESULTS}/tables/coverage.csv",
        likelihood=f"{RESULTS}/tables/likelihood.csv",
        summary=f"{RESULTS}/tables/summary.csv",
        in_range=f"{RESULTS}/tables/summary_in_range.csv",
        in_domain=f"{RESULTS}/tables/summary_in_domain.csv",
    output:
        tables=report(
            f"{RESULTS}/tables/tables.html",
            caption="../report/tables.rst",
            category="Tables",
            labels={"what": "verdict, closure, coverage, accuracy"},
        ),
        verdict=f"{RESULTS}/tables/verdict.html",
    log:
        f"{RESULTS}/logs/tables/tables.log",
    conda:
        ENVIRONMENT
    params:
        code=code("render_tables.py"),
    message:
        "Rendering the tables"
    script:
        "../scripts/render_tables.py"
