rule generate_sample:
    output:
        layout.shard("{sample}", "{shard}"),
    log:
        layout.log("samples/{sample}/{shard}"),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        generator=lambda wildcards: generator_of(wildcards.sample),
        truth=config["truth"],
        flavours=config["flavours"],
        seed=config["seed"],
        events=lambda wildcards: span_of(wildcards.sample, wildcards.shard),
        code=lambda wildcards: code(
            "generate_sample.py",
            GENERATORS.module(generator_of(wildcards.sample)["kind"], "generators"),
            TRUTH_MODULE,
        ),
    message:
        "Generating {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../scripts/generate_sample.py"
