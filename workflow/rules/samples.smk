SAMPLES = [path for sample in config["samples"] for path in shards(sample)]


rule generate_sample:
    output:
        f"{RESULTS}/samples/{{sample}}/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/samples/{{sample}}/{{shard}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        generator=lambda wildcards: config["generators"][
            config["samples"][wildcards.sample]["generator"]
        ],
        truth=config["truth"],
        flavours=config["flavours"],
        seed=config["seed"],
        events=events_of,
        code=code("generate_sample.py"),
    message:
        "Generating {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../scripts/generate_sample.py"
