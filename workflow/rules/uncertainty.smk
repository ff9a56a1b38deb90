SCALES = f"{RESULTS}/tables/scales.csv"


rule measure_spread:
    input:
        sample=shards(config["uncertainty"]["sample"]),
        predictions=[
            path
            for files in with_replicas(config["uncertainty"]["sample"]).values()
            for path in files
        ],
    output:
        SCALES,
    log:
        f"{RESULTS}/logs/tables/scales.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        predictions=with_replicas(config["uncertainty"]["sample"]),
        flavours=config["flavours"],
        options=config["uncertainty"],
        code=code("measure_spread.py"),
    message:
        "Comparing the spread of replicas with the tags"
    script:
        "../scripts/measure_spread.py"


rule coverage_table:
    input:
        coverage=f"{RESULTS}/figures/coverage.csv",
        scales=SCALES,
    output:
        f"{RESULTS}/tables/coverage.csv",
    log:
        f"{RESULTS}/logs/tables/coverage.log",
    conda:
        ENVIRONMENT
    params:
        code=code("coverage_table.py"),
    message:
        "Collecting how often the truth lies within the errors"
    script:
        "../scripts/coverage_table.py"
