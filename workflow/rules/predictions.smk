PREDICTIONS = [
    path
    for sample in config["samples"]
    for files in with_replicas(sample).values()
    for path in files
]


rule predict_map:
    input:
        sample=lambda wildcards: shards(wildcards.sample),
        map=f"{RESULTS}/maps/{{map}}.parquet",
        replicas=f"{RESULTS}/maps/{{map}}.replicas.parquet",
    output:
        prediction=f"{RESULTS}/predictions/{{sample}}/{{map}}.parquet",
        replicas=f"{RESULTS}/predictions/{{sample}}/{{map}}.replicas.parquet",
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
        prediction=f"{RESULTS}/predictions/{{sample}}/{{network}}.parquet",
        replicas=f"{RESULTS}/predictions/{{sample}}/{{network}}.replicas.parquet",
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
