FIGURE_TITLES = {
    "fig1": "what weighting buys",
    "fig2": "universality",
    "fig3": "the true efficiency",
    "fig6": "single jets: residuals, Delta R",
    "fig7": "pairs of jets: mass by flavour",
    "fig8": "boosted boson: Delta R, mass",
    "calibration": "tagged against predicted",
    "coverage": "truth within the errors",
    "training": "losses by epoch",
    "learning_curve": "regret by training events",
    "work": "losses by training time",
    "repeated": "errors of replicas and of repeated samples",
}
FIGURES = CHOSEN_FIGURES or standard_figures(config)
FIGURE_FILES = [
    f"{RESULTS}/figures/{figure}.{kind}" for figure in FIGURES for kind in ("png", "pdf", "csv")
]
HISTORIES = {
    network: [path.replace(".pt", ".history.parquet") for path in networks(network)]
    for network in config["networks"]
}


wildcard_constraints:
    figure="|".join({*standard_figures(config), *FIGURES}),


rule figure_numbers:
    input:
        samples=lambda wildcards: [
            path for sample in FIGURE_SAMPLES[wildcards.figure] for path in shards(sample)
        ],
        predictions=lambda wildcards: [
            path
            for sample in FIGURE_SAMPLES[wildcards.figure]
            for files in with_replicas(sample).values()
            for path in files
        ],
        domains=lambda wildcards: [domain(sample) for sample in FIGURE_SAMPLES[wildcards.figure]],
        scales=lambda wildcards: [SCALES] if FIGURE_SAMPLES[wildcards.figure] else [],
    output:
        f"{RESULTS}/figures/{{figure}}.csv",
    log:
        f"{RESULTS}/logs/figures/{{figure}}.numbers.log",
    wildcard_constraints:
        figure="|".join(FIGURE_SAMPLES),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory,
        runtime=60,
    params:
        samples=lambda wildcards: {
            sample: shards(sample) for sample in FIGURE_SAMPLES[wildcards.figure]
        },
        predictions=lambda wildcards: {
            sample: with_replicas(sample) for sample in FIGURE_SAMPLES[wildcards.figure]
        },
        domains=lambda wildcards: {
            sample: domain(sample) for sample in FIGURE_SAMPLES[wildcards.figure]
        },
        truth=config["truth"],
        flavours=config["flavours"],
        options={**config["figures"], "minimum_variance": config["closure"]["minimum_variance"]},
        code=code("figure_numbers.py"),
    message:
        "Computing the numbers of {wildcards.figure}"
    script:
        "../scripts/figure_numbers.py"


rule factor_numbers:
    input:
        lambda wildcards: networks(wildcards.network),
    output:
        f"{RESULTS}/figures/fig3_{{network}}.csv",
    log:
        f"{RESULTS}/logs/figures/fig3_{{network}}.numbers.log",
    conda:
        ENVIRONMENT
    params:
        truth=config["truth"],
        flavours=config["flavours"],
        options=config["figures"],
        code=code("factor_numbers.py"),
    message:
        "Reading what {wildcards.network} has learned"
    script:
        "../scripts/factor_numbers.py"


rule training_numbers:
    input:
        [path for histories in HISTORIES.values() for path in histories],
    output:
        f"{RESULTS}/figures/training.csv",
    log:
        f"{RESULTS}/logs/figures/training.numbers.log",
    conda:
        ENVIRONMENT
    params:
        histories=HISTORIES,
        code=code("training_numbers.py"),
    message:
        "Collecting the training histories"
    script:
        "../scripts/training_numbers.py"


rule work_numbers:
    input:
        histories=[path for histories in HISTORIES.values() for path in histories],
        validation=shards("validation"),
    output:
        f"{RESULTS}/figures/work.csv",
    log:
        f"{RESULTS}/logs/figures/work.numbers.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        histories=HISTORIES,
        code=code("work_numbers.py"),
    message:
        "Comparing the losses with that of the true efficiency"
    script:
        "../scripts/work_numbers.py"


rule draw_figure:
    input:
        f"{RESULTS}/figures/{{figure}}.csv",
    output:
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda wildcards: {
                "figure": wildcards.figure,
                "shows": FIGURE_TITLES.get(wildcards.figure, "what tags alone tell of Eq. 2"),
            },
        ),
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
    log:
        f"{RESULTS}/logs/figures/{{figure}}.log",
    conda:
        ENVIRONMENT
    params:
        drawing=lambda wildcards: (
            "factors" if wildcards.figure in FACTOR_FIGURES else wildcards.figure
        ),
        flavours=config["flavours"],
        remark=config["figures"]["remark"],
        shown=lambda wildcards: config["figures"].get("efficiencies", EFFICIENCIES),
        known=EFFICIENCIES,
        code=code("draw_figure.py"),
    message:
        "Drawing {wildcards.figure}"
    script:
        "../scripts/draw_figure.py"
