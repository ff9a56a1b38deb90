# The learning curve: everything is fitted anew to the first events of the training sample.
use rule fit_map as fit_map_on_part with:
    input:
        train=lambda wildcards: first_shards("train", wildcards.events),
        validation=lambda wildcards: first_shards("validation", wildcards.events),
    output:
        layout.nominal("{estimator}", layout.curve_folder("{events}")),
    log:
        layout.log("learning_curve/{events}/{estimator}"),
    resources:
        **needs(
            "fit_map",
            lambda wildcards: workload.fit(wildcards.estimator, events=int(wildcards.events)),
        ),
    params:
        first_events=lambda wildcards: events_of_point(wildcards.events),
    message:
        "Fitting {wildcards.estimator} to {wildcards.events} events"


# A job per network, even where those of the whole sample share one.
use rule train_network as train_network_on_part with:
    input:
        train=lambda wildcards: first_shards("train", wildcards.events),
        validation=lambda wildcards: first_shards("validation", wildcards.events),
    output:
        network=layout.seed("{estimator}", "{seed}", layout.curve_folder("{events}")),
        history=layout.history("{estimator}", "{seed}", layout.curve_folder("{events}")),
    log:
        layout.log("learning_curve/{events}/{estimator}/seed_{seed}"),
    resources:
        **needs(
            "train_network",
            lambda wildcards: workload.fit(wildcards.estimator, events=int(wildcards.events)),
            gpu=lambda wildcards: GPUS,
        ),
    params:
        options=lambda wildcards: options_at_point(wildcards.estimator, wildcards.events),
        checkpoint=layout.checkpoint("{estimator}", "seed_{seed}", layout.curve_folder("{events}")),
        first_events=lambda wildcards: events_of_point(wildcards.events),
    message:
        "Training {wildcards.estimator}, seed {wildcards.seed}, on {wildcards.events} events"


rule learning_point:
    input:
        train=lambda wildcards: first_shards("train", wildcards.events),
        sample=layout.shards(CURVE_SAMPLE),
        fitted=lambda wildcards: layout.curve_members(wildcards.estimator, wildcards.events),
    output:
        layout.curve_point("{events}", "{estimator}"),
    log:
        layout.log("learning_curve/{events}/{estimator}.measured"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "predict",
            lambda wildcards: workload.prediction(CURVE_SAMPLE, wildcards.estimator),
            gpu=lambda wildcards: GPUS,
        ),
    params:
        kind=lambda wildcards: ESTIMATORS[wildcards.estimator]["kind"],
        name=lambda wildcards: wildcards.estimator,
        seeded=lambda wildcards: layout.is_seeded(wildcards.estimator),
        first_events=lambda wildcards: events_of_point(wildcards.events),
        flavours=config["flavours"],
        device=config["device"],
        code=lambda wildcards: code("learning_point.py", kind_module(wildcards.estimator)),
    message:
        "Measuring {wildcards.estimator}, fitted to {wildcards.events} events"
    script:
        "../scripts/learning_point.py"


rule learning_table:
    input:
        CURVE_POINTS,
    output:
        layout.table("learning_curve"),
    log:
        layout.log("tables/learning_curve"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code("learning_table.py"),
    message:
        "Collecting the points of the learning curve"
    script:
        "../scripts/learning_table.py"


# Repeated training samples: each is a part of the training sample, with fits of its own.
use rule train_network as train_network_on_repeated_sample with:
    input:
        train=lambda wildcards: repeated_shards(
            wildcards.estimator, wildcards.part, wildcards.part
        ),
        validation=flat(layout.shards_of(ROLES["validation"])),
    output:
        network=layout.seed("{estimator}", "{seed}", layout.repeated_folder("{part}")),
        history=layout.history("{estimator}", "{seed}", layout.repeated_folder("{part}")),
    log:
        layout.log("repeated/{part}/{estimator}/seed_{seed}"),
    resources:
        **needs(
            "train_network",
            lambda wildcards: workload.fit(
                wildcards.estimator, events=layout.repeated_events(wildcards.estimator)
            ),
            gpu=lambda wildcards: GPUS,
        ),
    params:
        # The name of the random stream: each sample has networks of its own.
        name=lambda wildcards: f"{wildcards.estimator}/{wildcards.part}",
        part=lambda wildcards: place_in_files(wildcards.estimator, wildcards.part, wildcards.part),
        checkpoint=layout.checkpoint(
            "{estimator}", "seed_{seed}", layout.repeated_folder("{part}")
        ),
    message:
        "Training {wildcards.estimator}, seed {wildcards.seed}, on sample {wildcards.part}"


rule repeated_sample:
    input:
        sample=layout.shards(JUDGED),
        networks=lambda wildcards: layout.seed_files(
            wildcards.estimator, layout.repeated_folder(wildcards.part)
        ),
        domain=layout.in_domain(JUDGED),
    output:
        **layout.repeated_files(layout.repeated_folder("{part}"), "{estimator}"),
    log:
        layout.log("repeated/{part}/{estimator}"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "predict",
            lambda wildcards: workload.prediction(JUDGED, wildcards.estimator),
            gpu=lambda wildcards: GPUS,
        ),
    params:
        distributions=JUDGED_DISTRIBUTIONS,
        flavours=config["flavours"],
        minimum_events=config["closure"]["minimum_events"],
        device=config["device"],
        code=lambda wildcards: code("repeated_sample.py", kind_module(wildcards.estimator)),
    message:
        "Measuring {wildcards.estimator}, trained on sample {wildcards.part}"
    script:
        "../scripts/repeated_sample.py"


# What is fitted in one go: a job for several samples, which fits and measures, and keeps no fit.
rule repeated_fits:
    input:
        train=lambda wildcards: repeated_shards(
            wildcards.estimator, wildcards.first, wildcards.last
        ),
        validation=flat(layout.shards_of(ROLES["validation"])),
        sample=layout.shards(JUDGED),
        domain=layout.in_domain(JUDGED),
    output:
        **layout.repeated_files(layout.repeated_group_folder("{first}", "{last}"), "{estimator}"),
    log:
        layout.log("repeated/samples_{first}_to_{last}/{estimator}"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "repeated_fits",
            lambda wildcards: workload.repeated(
                wildcards.estimator, wildcards.first, wildcards.last
            ),
        ),
    params:
        name=lambda wildcards: wildcards.estimator,
        options=lambda wildcards: ESTIMATORS[wildcards.estimator],
        base_seed=config["seed"],
        first=lambda wildcards: int(wildcards.first),
        last=lambda wildcards: int(wildcards.last),
        part=lambda wildcards: place_in_files(wildcards.estimator, wildcards.first, wildcards.last),
        distributions=JUDGED_DISTRIBUTIONS,
        flavours=config["flavours"],
        minimum_events=config["closure"]["minimum_events"],
        code=lambda wildcards: code("repeated_fits.py", kind_module(wildcards.estimator)),
    message:
        "Fitting {wildcards.estimator} to samples {wildcards.first} to {wildcards.last}"
    script:
        "../scripts/repeated_fits.py"


rule repeated_tables:
    input:
        histograms=[files["histograms"] for files in REPEATED],
        coverage=[files["coverage"] for files in REPEATED],
        accuracy=[files["accuracy"] for files in REPEATED],
    output:
        covariance=layout.table("repeated_covariance"),
        coverage=layout.table("repeated_coverage"),
        accuracy=layout.table("repeated_accuracy"),
    log:
        layout.log("tables/repeated"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code("repeated_tables.py"),
    message:
        "Comparing replicas with repeated training samples"
    script:
        "../scripts/repeated_tables.py"
