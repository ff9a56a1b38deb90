# Section 4: what is fitted in one go, maps above all.
rule fit_map:
    input:
        train=flat(layout.shards_of(ROLES["train"])),
        validation=flat(layout.shards_of(ROLES["validation"])),
    output:
        layout.nominal("{estimator}"),
    log:
        layout.log("estimators/{estimator}"),
    conda:
        ENVIRONMENT
    resources:
        **needs("fit_map", lambda wildcards: workload.fit(wildcards.estimator)),
    params:
        name=lambda wildcards: wildcards.estimator,
        options=lambda wildcards: fit_options(wildcards.estimator),
        base_seed=config["seed"],
        folds=FOLDS,
        fold=None,
        code=lambda wildcards: code("fit_estimator.py", kind_module(wildcards.estimator)),
    message:
        "Fitting {wildcards.estimator}"
    script:
        "../scripts/fit_estimator.py"


# With cross-fitting: once without each fold of the training samples.
use rule fit_map as fit_map_without_fold with:
    output:
        layout.nominal_without("{estimator}", "{fold}"),
    log:
        layout.log("estimators/{estimator}/fold_{fold}"),
    params:
        fold=lambda wildcards: int(wildcards.fold),
    message:
        "Fitting {wildcards.estimator} without fold {wildcards.fold}"


rule replicate_map:
    input:
        train=flat(layout.shards_of(ROLES["train"])),
        validation=flat(layout.shards_of(ROLES["validation"])),
    output:
        layout.replicas("{estimator}"),
    log:
        layout.log("estimators/{estimator}.replicas"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "replicate_map",
            lambda wildcards: workload.fit(
                wildcards.estimator, workload.members(wildcards.estimator)
            ),
        ),
    params:
        name=lambda wildcards: wildcards.estimator,
        options=lambda wildcards: ESTIMATORS[wildcards.estimator],
        base_seed=config["seed"],
        folds=FOLDS,
        fold=None,
        code=lambda wildcards: code("replicate_estimator.py", kind_module(wildcards.estimator)),
    message:
        "Fitting {wildcards.estimator} to resamples of the training events"
    script:
        "../scripts/replicate_estimator.py"


use rule replicate_map as replicate_map_without_fold with:
    output:
        layout.replicas_without("{estimator}", "{fold}"),
    log:
        layout.log("estimators/{estimator}/fold_{fold}.replicas"),
    params:
        fold=lambda wildcards: int(wildcards.fold),
    message:
        "Fitting {wildcards.estimator} to resamples without fold {wildcards.fold}"


# Section 5: a job for each network of an ensemble.
rule train_network:
    input:
        train=flat(layout.shards_of(ROLES["train"])),
        validation=flat(layout.shards_of(ROLES["validation"])),
    output:
        network=layout.seed("{estimator}", "{seed}"),
        history=layout.history("{estimator}", "{seed}"),
    log:
        layout.log("estimators/{estimator}/seed_{seed}"),
    conda:
        ENVIRONMENT
    threads: lambda wildcards: ESTIMATORS[wildcards.estimator]["threads"]
    resources:
        **needs(
            "train_network",
            lambda wildcards: workload.fit(wildcards.estimator),
            gpu=lambda wildcards: GPUS,
        ),
    params:
        name=lambda wildcards: wildcards.estimator,
        seeds=lambda wildcards: [int(wildcards.seed)],
        options=lambda wildcards: training_options(checked.estimators[wildcards.estimator]),
        base_seed=config["seed"],
        folds=FOLDS,
        fold=lambda wildcards: layout.fold_of_seed(wildcards.estimator, wildcards.seed),
        device=config["device"],
        checkpoint=layout.checkpoint("{estimator}", "seed_{seed}"),
        code=lambda wildcards: code("train_network.py", kind_module(wildcards.estimator)),
    message:
        "Training {wildcards.estimator}, seed {wildcards.seed}"
    script:
        "../scripts/train_network.py"


# Networks that are trained together, as one batched model: a job, and a folder, for each group.
use rule train_network as train_networks_together with:
    output:
        directory(layout.group("{estimator}", "{first}", "{last}")),
    log:
        layout.log("estimators/{estimator}/seeds_{first}_to_{last}"),
    resources:
        **needs(
            "train_network",
            lambda wildcards: workload.fit(
                wildcards.estimator, int(wildcards.last) - int(wildcards.first) + 1
            ),
            gpu=lambda wildcards: GPUS,
        ),
    params:
        seeds=lambda wildcards: list(range(int(wildcards.first), int(wildcards.last) + 1)),
        fold=lambda wildcards: layout.fold_of_seed(wildcards.estimator, wildcards.first),
        checkpoint=layout.checkpoint("{estimator}", "seeds_{first}_to_{last}"),
    message:
        "Training {wildcards.estimator}, seeds {wildcards.first} to {wildcards.last}"


rule average_ensemble:
    input:
        lambda wildcards: layout.training_outputs(wildcards.estimator),
    output:
        layout.manifest("{estimator}"),
    log:
        layout.log("estimators/{estimator}/ensemble"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        members=lambda wildcards: layout.members(wildcards.estimator),
        folds=FOLDS,
        fold_of_member=lambda wildcards: layout.folds_of_seeds(wildcards.estimator),
        code=lambda wildcards: code("average_ensemble.py", kind_module(wildcards.estimator)),
    message:
        "Averaging the networks of {wildcards.estimator}"
    script:
        "../scripts/average_ensemble.py"
