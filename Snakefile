from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/predictions.smk"
include: "workflow/rules/domain.smk"
include: "workflow/rules/uncertainty.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/closure.smk"
include: "workflow/rules/learning_curve.smk"
include: "workflow/rules/repeated.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        FIGURE_FILES,
        [] if CHOSEN_FIGURES else [TABLES, WEIGHTS, DOMAINS, PREDICTIONS, NETWORKS, MAPS, SAMPLES],
