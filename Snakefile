from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/estimators.smk"
include: "workflow/rules/predictions.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/exports.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/studies.smk"


rule all:
    default_target: True
    input:
        FIGURE_FILES,
        CHOSEN_TABLES if CHOSEN_FIGURES else EVERYTHING,
