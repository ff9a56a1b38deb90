rule figure_numbers:
    input:
        lambda wildcards: figure_needs(wildcards.figure),
    output:
        layout.figure("{figure}", "csv"),
    log:
        layout.log("figures/{figure}.numbers"),
    conda:
        ENVIRONMENT
    resources:
        **needs("figure_numbers", lambda wildcards: figure_work(wildcards.figure)),
    params:
        numbers=lambda wildcards: catalogue[wildcards.figure].numbers,
        files=lambda wildcards: figure_inputs(wildcards.figure),
        flavours=config["flavours"],
        options=lambda wildcards: options_of(catalogue[wildcards.figure], config),
        truth=lambda wildcards: (
            config["truth"] if "truth" in catalogue[wildcards.figure].inputs else None
        ),
        code=lambda wildcards: code(
            "figure_numbers.py", *modules_of_numbers(catalogue[wildcards.figure])
        ),
    message:
        "Computing the numbers of {wildcards.figure}"
    script:
        "../scripts/figure_numbers.py"


rule draw_figure:
    input:
        layout.figure("{figure}", "csv"),
    output:
        png=report(
            layout.figure("{figure}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda wildcards: {
                "figure": wildcards.figure,
                "shows": catalogue[wildcards.figure].title,
            },
        ),
        pdf=layout.figure("{figure}", "pdf"),
    log:
        layout.log("figures/{figure}"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        drawing=lambda wildcards: catalogue[wildcards.figure].drawing,
        columns=lambda wildcards: catalogue[wildcards.figure].columns,
        caption=lambda wildcards: catalogue[wildcards.figure].caption,
        context=drawing_options(config),
        code=lambda wildcards: code("draw_figure.py", catalogue[wildcards.figure].drawing_module),
    message:
        "Drawing {wildcards.figure}"
    script:
        "../scripts/draw_figure.py"
