# What leaves for other frameworks: each form that the section `exports` names.
rule export_onnx:
    input:
        estimator=lambda wildcards: layout.fit_outputs(wildcards.estimator),
        train=flat(layout.shards_of(ROLES["train"])),
    output:
        layout.export("onnx", "{estimator}"),
        layout.exports_by_fold("onnx", "{estimator}"),
    log:
        layout.log("exports/onnx/{estimator}"),
    wildcard_constraints:
        estimator=names(layout.seeded),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "export",
            lambda wildcards: workload.fit(
                wildcards.estimator, workload.members(wildcards.estimator)
            ),
        ),
    params:
        folder=lambda wildcards: layout.estimator(wildcards.estimator),
        estimator=lambda wildcards: without_storage(ESTIMATORS[wildcards.estimator]),
        inputs=lambda wildcards: inputs_of(wildcards.estimator),
        options={"layout": "truthtag"},
        code=lambda wildcards: code("export_onnx.py", kind_module(wildcards.estimator)),
    message:
        "Writing {wildcards.estimator} as ONNX"
    script:
        "../scripts/export_onnx.py"


use rule export_onnx as export_athena with:
    output:
        layout.export("athena", "{estimator}"),
        layout.exports_by_fold("athena", "{estimator}"),
    log:
        layout.log("exports/athena/{estimator}"),
    params:
        options=ATHENA,
    message:
        "Writing {wildcards.estimator} as ONNX for ATLAS's truth tagging tool"


rule distil_network:
    input:
        estimator=lambda wildcards: layout.fit_outputs(wildcards.estimator),
        train=flat(layout.shards_of(ROLES["train"])),
        validation=flat(layout.shards_of(ROLES["validation"])),
    output:
        **layout.distilled("{estimator}"),
    log:
        layout.log("exports/distilled/{estimator}"),
    wildcard_constraints:
        estimator=names(layout.seeded),
    conda:
        ENVIRONMENT
    resources:
        **needs("distil_network", lambda wildcards: workload.distillation(wildcards.estimator)),
    params:
        name=lambda wildcards: wildcards.estimator,
        folder=lambda wildcards: layout.estimator(wildcards.estimator),
        estimator=lambda wildcards: without_storage(ESTIMATORS[wildcards.estimator]),
        inputs=lambda wildcards: inputs_of(wildcards.estimator),
        options=export_options("distilled"),
        forms={
            form: options
            for form, options in {"onnx": {"layout": "truthtag"}, "athena": ATHENA}.items()
            if checked.exports.has(form)
        },
        base_seed=config["seed"],
        code=lambda wildcards: code("distil_network.py", kind_module(wildcards.estimator)),
    message:
        "Distilling {wildcards.estimator}"
    script:
        "../scripts/distil_network.py"


rule export_corrections:
    input:
        lambda wildcards: layout.fit_outputs(wildcards.estimator),
    output:
        layout.export("correctionlib", "{estimator}"),
        layout.exports_by_fold("correctionlib", "{estimator}"),
    log:
        layout.log("exports/correctionlib/{estimator}"),
    wildcard_constraints:
        estimator=names(layout.resampled),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=lambda wildcards: layout.estimator(wildcards.estimator),
        estimator=lambda wildcards: without_storage(ESTIMATORS[wildcards.estimator]),
        options=export_options("correctionlib"),
        code=lambda wildcards: code("export_corrections.py", kind_module(wildcards.estimator)),
    message:
        "Writing {wildcards.estimator} as a file of correctionlib"
    script:
        "../scripts/export_corrections.py"


rule write_friend:
    input:
        file=lambda wildcards: layout.local_file(wildcards.sample, wildcards.shard),
        shard=layout.shard("{sample}", "{shard}"),
        events=layout.events("{sample}", "{shard}"),
        predictions=[layout.prediction("{sample}", name) for name in FRIENDS],
        weights=[layout.weights("{sample}", name) for name in FRIENDS],
    output:
        **layout.friends("{sample}", "{shard}", FRIEND_FORMATS),
    log:
        layout.log("exports/friends/{sample}/{shard}"),
    wildcard_constraints:
        sample=names([sample for sample in READ if not is_parquet(sample)]),
    conda:
        ENVIRONMENT
    resources:
        **needs(
            "write_friend", lambda wildcards: workload.shard(wildcards.sample, wildcards.shard)
        ),
    params:
        file=lambda wildcards: layout.file(wildcards.sample, wildcards.shard),
        reader=lambda wildcards: reader_of(wildcards.sample),
        estimators=FRIENDS,
        code=code("write_friend.py"),
    message:
        "Writing the friend of {wildcards.sample}, file {wildcards.shard}"
    script:
        "../scripts/write_friend.py"


# Files that are no ROOT files.
use rule write_friend as write_parquet_friend with:
    output:
        **layout.friends("{sample}", "{shard}", ["parquet"]),
    wildcard_constraints:
        sample=names([sample for sample in READ if is_parquet(sample)]),
