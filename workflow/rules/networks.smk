NETWORKS = [path for network in config["networks"] for path in networks(network)]
ALONE = [network for network, options in config["networks"].items() if seeds_per_job(options) == 1]


rule train_network:
    input:
        train=shards("train"),
        validation=shards("validation"),
    output:
        network=f"{RESULTS}/networks/{{network}}/seed_{{seed}}.pt",
        history=f"{RESULTS}/networks/{{network}}/seed_{{seed}}.history.parquet",
    log:
        f"{RESULTS}/logs/networks/{{network}}/seed_{{seed}}.log",
    wildcard_constraints:
        network="|".join(ALONE) or "none",
    conda:
        ENVIRONMENT
    threads: lambda wildcards: config["networks"][wildcards.network]["threads"]
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=GPUS,
    params:
        network=lambda wildcards: wildcards.network,
        seeds=lambda wildcards: [int(wildcards.seed)],
        architecture=lambda wildcards: config["networks"][wildcards.network]["architecture"],
        training=lambda wildcards: config["networks"][wildcards.network]["training"],
        base_seed=config["seed"],
        device=config["device"],
        checkpoint=f"{RESULTS}/networks/{{network}}/seed_{{seed}}.checkpoint.pt",
        code=code("train_network.py"),
    message:
        "Training {wildcards.network}, seed {wildcards.seed}"
    script:
        "../scripts/train_network.py"


# Networks that are trained together are one job with many files, which wildcards cannot name: a rule for each such job.
for job_network, job_options in config["networks"].items():
    for job_seeds in [] if job_network in ALONE else seed_groups(job_options):
        job_files = [
            f"{RESULTS}/networks/{job_network}/seed_{seed}.{kind}"
            for seed in job_seeds
            for kind in ("pt", "history.parquet")
        ]
        job_name = f"seeds_{job_seeds[0]}_to_{job_seeds[-1]}"

        rule:
            name:
                f"train_{job_network}_{job_name}"
            input:
                train=shards("train"),
                validation=shards("validation"),
            output:
                job_files,
            log:
                f"{RESULTS}/logs/networks/{job_network}/{job_name}.log",
            conda:
                ENVIRONMENT
            threads: job_options["threads"]
            resources:
                mem_mb=4000,
                runtime=1440,
                gpu=GPUS,
            params:
                network=job_network,
                seeds=list(job_seeds),
                architecture=job_options["architecture"],
                training=job_options["training"],
                base_seed=config["seed"],
                device=config["device"],
                checkpoint=f"{RESULTS}/networks/{job_network}/{job_name}.checkpoint.pt",
                code=code("train_network.py"),
            message:
                f"Training {job_network}, seeds {job_seeds[0]} to {job_seeds[-1]}"
            script:
                "../scripts/train_network.py"
