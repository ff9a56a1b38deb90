DOMAINS = [domain(sample) for sample in config["samples"]]


rule fit_domain:
    input:
        train=shards("train"),
        validation=shards("validation"),
    output:
        f"{RESULTS}/domain/reference.parquet",
    log:
        f"{RESULTS}/logs/domain/reference.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=config["domain"],
        base_seed=config["seed"],
        code=code("fit_domain.py"),
    message:
        "Learning where the training jets are"
    script:
        "../scripts/fit_domain.py"


rule flag_domain:
    input:
        sample=lambda wildcards: shards(wildcards.sample),
        domain=f"{RESULTS}/domain/reference.parquet",
    output:
        f"{RESULTS}/domain/{{sample}}.parquet",
    log:
        f"{RESULTS}/logs/domain/{{sample}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        code=code("flag_domain.py"),
    message:
        "Telling which jets of {wildcards.sample} are like the training jets"
    script:
        "../scripts/flag_domain.py"
