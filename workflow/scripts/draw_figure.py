"""Draw one figure from its numbers."""

import pandas as pd

from truthtag.logs import job_log
from truthtag.plots import DRAWINGS, add_remark, save_figure

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        name = snakemake.wildcards.figure
        figure = DRAWINGS[snakemake.params.drawing](pd.read_csv(snakemake.input[0]), list(snakemake.params.flavours))
        if snakemake.params.remark:
            add_remark(figure, snakemake.params.remark)
        for path in snakemake.output:
            save_figure(figure, path)
        log.info("%s drawn", name)
