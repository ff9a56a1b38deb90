"""Draw one figure from its numbers."""

import pandas as pd

from truthtag.figures.plots import DRAWINGS, add_remark, save_figure, shown
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        name, params = snakemake.wildcards.figure, snakemake.params
        numbers = shown(pd.read_csv(snakemake.input[0]), params.shown, params.known)
        figure = DRAWINGS[params.drawing](numbers, list(params.flavours))
        if params.remark:
            add_remark(figure, params.remark)
        for path in snakemake.output:
            save_figure(figure, path)
        log.info("%s drawn", name)
