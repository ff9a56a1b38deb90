from truthtag.errors import TruthtagError
from truthtag.weights.scale_factors import ScaleFactors

SCALE_FACTORS = checked.weights.scale_factors

# What the file lacks is told before anything starts; jobs read the file themselves.
if SCALE_FACTORS and workflow.is_main_process:
    try:
        ScaleFactors.from_options(SCALE_FACTORS, config["flavours"], checked.labels.points)
    except TruthtagError as error:
        raise WorkflowError(str(error)) from None


rule event_weights:
    input:
        sample=lambda wildcards: layout.shards(wildcards.sample),
        events=lambda wildcards: layout.event_files(wildcards.sample),
        predictions=lambda wildcards: [
            layout.prediction(wildcards.sample, name) for name in ESTIMATORS
        ],
        scale_factors=[SCALE_FACTORS.file] if SCALE_FACTORS else [],
    output:
        [layout.weights("{sample}", name) for name in ESTIMATORS],
    log:
        layout.log("weights/{sample}"),
    conda:
        ENVIRONMENT
    resources:
        **needs("event_weights", lambda wildcards: workload.samples([wildcards.sample])),
    params:
        options=config["weights"],
        flavours=config["flavours"],
        code=code("event_weights.py"),
    message:
        "Weighting the events of {wildcards.sample}"
    script:
        "../scripts/event_weights.py"
