MAPS = [f"{RESULTS}/maps/{map}.parquet" for map in config["maps"]]


rule fit_map:
    input:
        train=shards("train"),
    output:
        f"{RESULTS}/maps/{{map}}.parquet",
    log:
        f"{RESULTS}/logs/maps/{{map}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=lambda wildcards: config["maps"][wildcards.map],
        code=code("fit_map.py"),
    message:
        "Fitting {wildcards.map}"
    script:
        "../scripts/fit_map.py"
