"""Draw one figure from its numbers."""

from truthtag.figures.labels import DrawingContext
from truthtag.figures.plots.drawing import draw_figure
from truthtag.figures.plots.style import save_figure
from truthtag.figures.tables import read_numbers
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        numbers = read_numbers(snakemake.input[0], params.columns)
        context = DrawingContext.from_options(params.context)
        figure = draw_figure(params.drawing, numbers, context)
        for path in snakemake.output:
            save_figure(figure, path)
        log.info("%s drawn", snakemake.wildcards.figure)
