MAPS = [
    f"{RESULTS}/maps/{map}{kind}.parquet" for map in config["maps"] for kind in ("", ".replicas")
]


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
        options=map_options,
        code=code("fit_map.py"),
    message:
        "Fitting {wildcards.map}"
    script:
        "../scripts/fit_map.py"


rule replicate_map:
    input:
        train=shards("train"),
    output:
        f"{RESULTS}/maps/{{map}}.replicas.parquet",
    log:
        f"{RESULTS}/logs/maps/{{map}}.replicas.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        options=map_options,
        replicas=lambda wildcards: config["maps"][wildcards.map]["replicas"],
        base_seed=config["seed"],
        code=code("replicate_map.py"),
    message:
        "Fitting {wildcards.map} to resamples of the training events"
    script:
        "../scripts/replicate_map.py"
