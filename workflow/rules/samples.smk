rule generate_sample:
    output:
        layout.shard("{sample}", "{shard}"),
    log:
        layout.log("samples/{sample}/{shard}"),
    wildcard_constraints:
        sample=names(GENERATED),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "generate_sample", lambda wildcards: workload.shard(wildcards.sample, wildcards.shard)
        ),
    params:
        generator=lambda wildcards: generator_of(wildcards.sample),
        truth=config["truth"],
        flavours=config["flavours"],
        working_points=config["working_points"],
        seed=config["seed"],
        events=lambda wildcards: span_of(wildcards.sample, wildcards.shard),
        code=lambda wildcards: code(
            "generate_sample.py",
            GENERATORS.module(generator_of(wildcards.sample)["kind"], "generators"),
            *TRUTH_MODULES,
        ),
    message:
        "Generating {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../scripts/generate_sample.py"


# The user's own files, one job each.
rule read_sample:
    input:
        lambda wildcards: layout.local_file(wildcards.sample, wildcards.shard),
    output:
        jets=layout.shard("{sample}", "{shard}"),
        events=layout.events("{sample}", "{shard}"),
    log:
        layout.log("samples/{sample}/{shard}"),
    wildcard_constraints:
        sample=names(READ),
    conda:
        ENVIRONMENT
    resources:
        **needs("read_sample", lambda wildcards: workload.shard(wildcards.sample, wildcards.shard)),
    params:
        file=lambda wildcards: layout.file(wildcards.sample, wildcards.shard),
        reader=lambda wildcards: reader_of(wildcards.sample),
        labels=checked.labels.to_metadata(),
        working_points=config["working_points"],
        inputs=config["inputs"],
        take=lambda wildcards: config["samples"][wildcards.sample]["take"],
        weight=lambda wildcards: group_weight(wildcards.sample),
        code=code("read_sample.py"),
    message:
        "Reading {wildcards.sample}, file {wildcards.shard}"
    script:
        "../scripts/read_sample.py"


rule describe_samples:
    input:
        samples=flat(layout.shards_of(config["samples"])),
        events=[file for sample in config["samples"] for file in layout.event_files(sample)],
    output:
        layout.table("samples"),
    log:
        layout.log("tables/samples"),
    conda:
        ENVIRONMENT
    resources:
        **needs("describe_samples", lambda wildcards: workload.samples(config["samples"])),
    params:
        samples={sample: layout.shards(sample) for sample in config["samples"]},
        events={sample: layout.event_files(sample) for sample in config["samples"]},
        flavours=config["flavours"],
        code=code("describe_samples.py"),
    message:
        "Counting events and jets of every sample"
    script:
        "../scripts/describe_samples.py"
