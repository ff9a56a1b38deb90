PREDICTIONS = [path for sample in config["samples"] for path in predictions(sample).values()]


rule predict_map:
    input:
        sample=lambda wildcards: shards(wildcards.sample),
        map=f"{RESULTS}/maps/{{map}}.parquet",
    output:
        f"{RESULTS}/predictions/{{sample}}/{{map}}.parquet",
    log:
        f"{RESULTS}/logs/predictions/{{sample}}/{{map}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("predict_map.py"),
    message:
        "Predicting {wildcards.sample} with {wildcards.map}"
    script:
        "../scripts/predict_map.py"


rule predict_network:
    input:
        sample=lambda wildcards: shards(wildcards.sample),
        networks=lambda wildcards: networks(wildcards.network),
    output:
        f"{RESULTS}/predictions/{{sample}}/{{network}}.parquet",
    log:
        f"{RESULTS}/logs/predictions/{{sample}}/{{network}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS,
    params:
        device=config["device"],
        code=code("predict_network.py"),
    message:
        "Predicting {wildcards.sample} with {wildcards.network}"
    script:
        "../scripts/predict_network.py"
