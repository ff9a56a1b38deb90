NETWORKS = [path for network in config["networks"] for path in networks(network)]


rule train_network:
    input:
        train=shards("train"),
        validation=shards("validation"),
    output:
        network=f"{RESULTS}/networks/{{network}}/seed_{{seed}}.pt",
        history=f"{RESULTS}/networks/{{network}}/seed_{{seed}}.history.parquet",
    log:
        f"{RESULTS}/logs/networks/{{network}}/seed_{{seed}}.log",
    conda:
        ENVIRONMENT
    threads: lambda wildcards: config["networks"][wildcards.network]["threads"]
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        architecture=lambda wildcards: config["networks"][wildcards.network]["architecture"],
        training=lambda wildcards: config["networks"][wildcards.network]["training"],
        base_seed=config["seed"],
        checkpoint=f"{RESULTS}/networks/{{network}}/seed_{{seed}}.checkpoint.pt",
        code=code("train_network.py"),
    message:
        "Training {wildcards.network}, seed {wildcards.seed}"
    script:
        "../scripts/train_network.py"
