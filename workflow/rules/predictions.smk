rule predict:
    input:
        sample=lambda wildcards: layout.shards(wildcards.sample),
        estimator=lambda wildcards: layout.fit_outputs(wildcards.estimator),
    output:
        prediction=layout.prediction("{sample}", "{estimator}"),
        replicas=layout.prediction_replicas("{sample}", "{estimator}"),
    log:
        layout.log("predictions/{sample}/{estimator}"),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "predict",
            lambda wildcards: workload.prediction(wildcards.sample, wildcards.estimator),
            gpu=lambda wildcards: GPUS if layout.is_seeded(wildcards.estimator) else 0,
        ),
    params:
        folder=lambda wildcards: layout.estimator(wildcards.estimator),
        kind=lambda wildcards: ESTIMATORS[wildcards.estimator]["kind"],
        device=config["device"],
        # Events that were learned from are predicted by what did not see them, varied or not.
        held_out=lambda wildcards: checked.is_held_out(wildcards.sample),
        code=lambda wildcards: code(
            "predict.py",
            kind_module(wildcards.estimator),
            *engine_modules(wildcards.estimator),
        ),
    message:
        "Predicting {wildcards.sample} with {wildcards.estimator}"
    script:
        "../scripts/predict.py"
