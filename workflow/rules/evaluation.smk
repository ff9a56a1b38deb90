rule fit_domain:
    input:
        train=flat(layout.shards_of(ROLES["train"])),
        validation=flat(layout.shards_of(ROLES["validation"])),
    output:
        layout.domain(),
    log:
        layout.log("domain_reference"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "fit_domain",
            lambda wildcards: workload.samples([*ROLES["train"], *ROLES["validation"]]),
        ),
    params:
        options=config["domain"],
        base_seed=config["seed"],
        folds=FOLDS,
        code=code("fit_domain.py"),
    message:
        "Learning where the training jets are"
    script:
        "../scripts/fit_domain.py"


rule flag_domain:
    input:
        sample=lambda wildcards: layout.shards(wildcards.sample),
        domain=layout.domain(),
    output:
        layout.in_domain("{sample}"),
    log:
        layout.log("domain/{sample}"),
    conda:
        ENVIRONMENT
    resources:
        **needs("flag_domain", lambda wildcards: workload.samples([wildcards.sample])),
    params:
        code=code("flag_domain.py"),
    message:
        "Telling which jets of {wildcards.sample} are like the training jets"
    script:
        "../scripts/flag_domain.py"


rule measure_spread:
    input:
        sample=layout.shards(config["uncertainty"]["sample"]),
        predictions=prediction_files(config["uncertainty"]["sample"]),
    output:
        layout.table("scales"),
    log:
        layout.log("tables/scales"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "measure_spread", lambda wildcards: workload.replicas(config["uncertainty"]["sample"])
        ),
    params:
        predictions=layout.predictions_with_replicas(config["uncertainty"]["sample"]),
        flavours=config["flavours"],
        options=config["uncertainty"],
        code=code("measure_spread.py"),
    message:
        "Comparing the spread of replicas with the tags"
    script:
        "../scripts/measure_spread.py"


rule summary:
    input:
        samples=[file for sample in WEIGHTED for file in layout.shards(sample)],
        predictions=[layout.prediction(sample, name) for sample in WEIGHTED for name in ESTIMATORS],
        domains=[layout.in_domain(sample) for sample in WEIGHTED],
    output:
        all_jets=layout.table("summary"),
        in_range=layout.table("summary_in_range"),
        in_domain=layout.table("summary_in_domain"),
        likelihood=layout.table("likelihood"),
    log:
        layout.log("tables/summary"),
    conda:
        ENVIRONMENT
    resources:
        **needs("summary", lambda wildcards: workload.samples(WEIGHTED)),
    params:
        samples={sample: layout.shards(sample) for sample in WEIGHTED},
        predictions={
            sample: {name: layout.prediction(sample, name) for name in ESTIMATORS}
            for sample in WEIGHTED
        },
        domains={sample: layout.in_domain(sample) for sample in WEIGHTED},
        flavours=config["flavours"],
        in_range=config["closure"]["in_range"],
        code=code("summary.py"),
    message:
        "Comparing every efficiency with the truth, or else with the tags"
    script:
        "../scripts/summary.py"


rule fill_histograms:
    input:
        sample=lambda wildcards: layout.shards(sample_of(wildcards.distribution)),
        predictions=lambda wildcards: prediction_files(sample_of(wildcards.distribution)),
        domain=lambda wildcards: layout.in_domain(sample_of(wildcards.distribution)),
        scales=layout.table("scales"),
    output:
        layout.histograms("{distribution}"),
    log:
        layout.log("histograms/{distribution}"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "fill_histograms",
            lambda wildcards: workload.replicas(sample_of(wildcards.distribution)),
        ),
    params:
        predictions=lambda wildcards: layout.predictions_with_replicas(
            sample_of(wildcards.distribution)
        ),
        options=lambda wildcards: config["distributions"][wildcards.distribution],
        flavours=config["flavours"],
        code=code("fill_histograms.py"),
    message:
        "Filling the histograms of {wildcards.distribution}"
    script:
        "../scripts/fill_histograms.py"


rule measure_calibration:
    input:
        sample=layout.shards(JUDGED),
        predictions=[layout.prediction(JUDGED, name) for name in ESTIMATORS],
    output:
        layout.table("calibration"),
    log:
        layout.log("tables/calibration"),
    conda:
        ENVIRONMENT
    resources:
        **needs("measure_calibration", lambda wildcards: workload.samples([JUDGED])),
    params:
        predictions={name: layout.prediction(JUDGED, name) for name in ESTIMATORS},
        flavours=config["flavours"],
        bins=config["figures"]["calibration_bins"],
        code=code("measure_calibration.py"),
    message:
        "Comparing the tagged fraction with what was predicted"
    script:
        "../scripts/measure_calibration.py"


rule measure_coverage:
    input:
        sample=layout.shards(JUDGED),
        predictions=prediction_files(JUDGED),
        domain=layout.in_domain(JUDGED),
        scales=layout.table("scales"),
        histograms=JUDGED_HISTOGRAMS,
    output:
        bins=layout.table("coverage_by_bin"),
        table=layout.table("coverage"),
    log:
        layout.log("tables/coverage"),
    conda:
        ENVIRONMENT
    resources:
        **needs("measure_coverage", lambda wildcards: workload.replicas(JUDGED)),
    params:
        predictions=layout.predictions_with_replicas(JUDGED),
        flavours=config["flavours"],
        axes=COVERAGE_AXES,
        minimum_events=config["closure"]["minimum_events"],
        code=code("measure_coverage.py"),
    message:
        "Counting how often the truth lies within the errors"
    script:
        "../scripts/measure_coverage.py"


rule fill_cells:
    input:
        sample=lambda wildcards: layout.shards(wildcards.sample),
        predictions=lambda wildcards: prediction_files(wildcards.sample),
        domain=lambda wildcards: layout.in_domain(wildcards.sample),
        scales=layout.table("scales"),
    output:
        layout.cells("{sample}"),
    log:
        layout.log("cells/{sample}"),
    conda:
        ENVIRONMENT
    resources:
        **needs("fill_cells", lambda wildcards: workload.replicas(wildcards.sample)),
    params:
        predictions=lambda wildcards: layout.predictions_with_replicas(wildcards.sample),
        cells=config["closure"]["cells"],
        flavours=config["flavours"],
        code=code("fill_cells.py"),
    message:
        "Counting tagged and predicted jets of {wildcards.sample} in cells"
    script:
        "../scripts/fill_cells.py"


rule closure:
    input:
        cells=CELLS,
        histograms=HISTOGRAMS,
        likelihood=layout.table("likelihood"),
    output:
        closure=layout.table("closure"),
        overall=layout.table("global"),
        verdict=layout.table("verdict"),
        cells=layout.table("cells"),
        power=layout.table("power"),
        shifts=layout.table("shifts"),
        templates=layout.table("templates"),
    log:
        layout.log("tables/closure"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        minimum_events=config["closure"]["minimum_events"],
        p_value=config["closure"]["p_value"],
        max_uncertainty=config["closure"]["max_uncertainty"],
        close=config["closure"]["cells"]["close"],
        code=code("closure_tables.py"),
    message:
        "Testing closure in every histogram and cell"
    script:
        "../scripts/closure_tables.py"


rule require_closure:
    input:
        closure=layout.table("closure"),
        overall=layout.table("global"),
    output:
        layout.table("required_closure"),
    log:
        layout.log("tables/required_closure"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        required=REQUIRED_CLOSURE,
        code=code("require_closure.py"),
    message:
        "Checking that what must close closes"
    script:
        "../scripts/require_closure.py"


rule render_tables:
    input:
        # Without a truth there is no coverage.
        **({"coverage": layout.table("coverage")} if TRUTH_IS_KNOWN else {}),
        overall=layout.table("global"),
        verdict=layout.table("verdict"),
        power=layout.table("power"),
        samples=layout.table("samples"),
        closure=layout.table("closure"),
        likelihood=layout.table("likelihood"),
        shifts=layout.table("shifts"),
        summary=layout.table("summary"),
        in_range=layout.table("summary_in_range"),
        in_domain=layout.table("summary_in_domain"),
        ensembles=[layout.manifest(name) for name in layout.seeded],
    output:
        tables=report(
            layout.table_page("tables"),
            caption="../report/tables.rst",
            category="Tables",
            labels={"what": "verdict, closure, coverage, accuracy"},
        ),
        verdict=layout.table_page("verdict"),
    log:
        layout.log("tables/tables"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        minimum_events=config["closure"]["minimum_events"],
        ensembles=layout.seeded,
        code=code("render_tables.py"),
    message:
        "Rendering the tables"
    script:
        "../scripts/render_tables.py"
