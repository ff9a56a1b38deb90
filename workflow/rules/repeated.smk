wildcard_constraints:
    part=r"\d+",


use rule train_network as train_network_on_repeated_sample with:
    input:
        train=shards_of_part,
        validation=shards("validation"),
    output:
        network=f"{RESULTS}/repeated/{{part}}/networks/{{network}}/seed_{{seed}}.pt",
        history=f"{RESULTS}/repeated/{{part}}/networks/{{network}}/seed_{{seed}}.history.parquet",
    log:
        f"{RESULTS}/logs/repeated/{{part}}/networks/{{network}}/seed_{{seed}}.log",
    wildcard_constraints:
        network="|".join(config["networks"]) or "none",
    params:
        # The name of the random stream: each sample has networks of its own.
        network=lambda wildcards: f"{wildcards.network}/{wildcards.part}",
        part=place_in_files,
        checkpoint=f"{RESULTS}/repeated/{{part}}/networks/{{network}}/seed_{{seed}}.checkpoint.pt",
    message:
        "Training {wildcards.network}, seed {wildcards.seed}, on sample {wildcards.part}"


rule repeated_sample:
    input:
        sample=shards("test"),
        networks=lambda wildcards: networks(
            wildcards.network, f"{RESULTS}/repeated/{wildcards.part}"
        ),
        domain=domain("test"),
    output:
        histograms=f"{RESULTS}/repeated/{{part}}/{{network}}.histograms.csv",
        coverage=f"{RESULTS}/repeated/{{part}}/{{network}}.coverage.csv",
    log:
        f"{RESULTS}/logs/repeated/{{part}}/{{network}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS,
    params:
        flavours=config["flavours"],
        truth=config["truth"],
        options={**config["figures"], "minimum_variance": config["closure"]["minimum_variance"]},
        device=config["device"],
        code=code("repeated_sample.py"),
    message:
        "Measuring {wildcards.network}, trained on sample {wildcards.part}"
    script:
        "../scripts/repeated_sample.py"


rule repeated_numbers:
    input:
        histograms=[
            f"{RESULTS}/repeated/{part}/{network}.histograms.csv"
            for network in config["networks"]
            for part in range(REPEATED["samples"])
        ],
        coverage=[
            f"{RESULTS}/repeated/{part}/{network}.coverage.csv"
            for network in config["networks"]
            for part in range(REPEATED["samples"])
        ],
    output:
        numbers=f"{RESULTS}/figures/repeated.csv",
        covariance=f"{RESULTS}/tables/repeated_covariance.csv",
        coverage=f"{RESULTS}/tables/repeated_coverage.csv",
    log:
        f"{RESULTS}/logs/figures/repeated.numbers.log",
    conda:
        ENVIRONMENT
    params:
        code=code("repeated_numbers.py"),
    message:
        "Comparing replicas with repeated training samples"
    script:
        "../scripts/repeated_numbers.py"
