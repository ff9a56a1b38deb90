WEIGHTS = [
    f"{RESULTS}/weights/{sample}/{efficiency}.parquet"
    for sample in config["samples"]
    for efficiency in EFFICIENCIES
]


rule event_weights:
    input:
        sample=lambda wildcards: shards(wildcards.sample),
        predictions=lambda wildcards: predictions(wildcards.sample).values(),
    output:
        [f"{RESULTS}/weights/{{sample}}/{efficiency}.parquet" for efficiency in EFFICIENCIES],
    log:
        f"{RESULTS}/logs/weights/{{sample}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=config["weights"],
        flavours=config["flavours"],
        code=code("event_weights.py"),
    message:
        "Weighting the events of {wildcards.sample}"
    script:
        "../scripts/event_weights.py"
