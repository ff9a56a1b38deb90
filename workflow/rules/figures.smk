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
        mem_mb=lambda wildcards: figure_memory(wildcards.figure),
        runtime=60,
    params:
        entry=lambda wildcards: numbers_entry(wildcards.figure),
        files=lambda wildcards: figure_files(wildcards.figure),
        flavours=config["flavours"],
        options=lambda wildcards: options_of(catalogue[wildcards.figure], config),
        truth=lambda wildcards: truth_of(wildcards.figure),
        code=lambda wildcards: code(
            "figure_numbers.py", module_of(catalogue[wildcards.figure].numbers)
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
    conda:
        ENVIRONMENT
    params:
        entry=lambda wildcards: catalogue[wildcards.figure].to_dict(),
        caption=lambda wildcards: catalogue[wildcards.figure].caption,
        context=lambda wildcards: drawing_context(wildcards.figure),
        code=lambda wildcards: code("draw_figure.py", module_of(catalogue[wildcards.figure].drawing)),
    message:
        "Drawing {wildcards.figure}"
    script:
        "../scripts/draw_figure.py"
