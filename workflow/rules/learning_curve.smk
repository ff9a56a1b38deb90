wildcard_constraints:
    events="|".join(POINTS) or "none",


use rule fit_map as fit_map_on_part with:
    input:
        train=part_of("train"),
    output:
        f"{RESULTS}/learning_curve/{{events}}/maps/{{map}}.parquet",
    log:
        f"{RESULTS}/logs/learning_curve/{{events}}/maps/{{map}}.log",
    params:
        first_events=part,
    message:
        "Fitting {wildcards.map} to {wildcards.events} events"


# A job per network, even where those of the whole sample share one.
use rule train_network as train_network_on_part with:
    input:
        train=part_of("train"),
        validation=part_of("validation"),
    output:
        network=f"{RESULTS}/learning_curve/{{events}}/networks/{{network}}/seed_{{seed}}.pt",
        history=f"{RESULTS}/learning_curve/{{events}}/networks/{{network}}/seed_{{seed}}.history.parquet",
    log:
        f"{RESULTS}/logs/learning_curve/{{events}}/networks/{{network}}/seed_{{seed}}.log",
    wildcard_constraints:
        network="|".join(config["networks"]) or "none",
    params:
        training=lambda wildcards: {
            **config["networks"][wildcards.network]["training"],
            **POINTS[wildcards.events].get("training", {}),
        },
        checkpoint=f"{RESULTS}/learning_curve/{{events}}/networks/{{network}}/seed_{{seed}}.checkpoint.pt",
        first_events=part,
    message:
        "Training {wildcards.network}, seed {wildcards.seed}, on {wildcards.events} events"


rule learning_point:
    input:
        train=part_of("train"),
        sample=shards(CURVE["sample"]),
        fitted=fitted_on_part,
    output:
        f"{RESULTS}/learning_curve/{{events}}/{{efficiency}}.csv",
    log:
        f"{RESULTS}/logs/learning_curve/{{events}}/{{efficiency}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS,
    params:
        first_events=part,
        is_network=lambda wildcards: wildcards.efficiency in config["networks"],
        flavours=config["flavours"],
        device=config["device"],
        code=code("learning_point.py"),
    message:
        "Measuring {wildcards.efficiency}, fitted to {wildcards.events} events"
    script:
        "../scripts/learning_point.py"


rule learning_curve_numbers:
    input:
        [
            f"{RESULTS}/learning_curve/{events}/{efficiency}.csv"
            for efficiency in EFFICIENCIES
            for events in POINTS
        ],
    output:
        numbers=f"{RESULTS}/figures/learning_curve.csv",
        table=f"{RESULTS}/tables/learning_curve.csv",
    log:
        f"{RESULTS}/logs/figures/learning_curve.numbers.log",
    conda:
        ENVIRONMENT
    params:
        code=code("learning_curve_numbers.py"),
    message:
        "Collecting the points of the learning curve"
    script:
        "../scripts/learning_curve_numbers.py"
