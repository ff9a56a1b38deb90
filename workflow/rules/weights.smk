rule event_weights:
    input:
        sample=lambda wildcards: layout.shards(wildcards.sample),
        events=lambda wildcards: layout.event_files(wildcards.sample),
        predictions=lambda wildcards: [
            layout.prediction(wildcards.sample, name) for name in ESTIMATORS
        ],
    output:
        [layout.weights("{sample}", name) for name in ESTIMATORS],
    log:
        layout.log("weights/{sample}"),
    conda:
        ENVIRONMENT
    params:
        options=config["weights"],
        flavours=config["flavours"],
        code=code("event_weights.py"),
    message:
        "Weighting the events of {wildcards.sample}"
    script:
        "../scripts/event_weights.py"
