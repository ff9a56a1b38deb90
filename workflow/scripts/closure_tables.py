"""Test closure in every histogram and cell, give a verdict, and say what it would have found."""

import pandas as pd

from truthtag.data.files import read_csv, read_frame, write_frame
from truthtag.statistics.cells import cells_table
from truthtag.statistics.global_verdict import global_table
from truthtag.statistics.power import power_table
from truthtag.statistics.templates import differences, shift_table, template_table
from truthtag.statistics.verdict import closure_table, verdict_table
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        cells = pd.concat(map(read_frame, snakemake.input.cells), ignore_index=True)
        distributions = pd.concat(map(read_frame, snakemake.input.histograms), ignore_index=True)
        histograms = pd.concat([cells, distributions], ignore_index=True)
        likelihood = read_csv(snakemake.input.likelihood)
        limits = (params.p_value, params.max_uncertainty)
        table = closure_table(histograms, params.minimum_events, *limits)
        overall = global_table(table, *limits)
        power = power_table(cells, table, params.minimum_events, params.p_value, params.close)
        write_frame(table, snakemake.output.closure)
        write_frame(overall, snakemake.output.overall)
        write_frame(verdict_table(table, overall), snakemake.output.verdict)
        write_frame(cells_table(cells), snakemake.output.cells)
        write_frame(power, snakemake.output.power)
        # Cells are for the verdict; an analysis takes templates of its histograms.
        found = differences(distributions, likelihood)
        write_frame(shift_table(found), snakemake.output.shifts)
        write_frame(template_table(found), snakemake.output.templates)
        for verdict, count in table["verdict"].value_counts().items():
            log.info("%s: %d of %d histograms", verdict, count, len(table))
        for row in overall.itertuples():
            where = f"{row.efficiency}, sample {row.sample}, events {row.events}"
            log.info("%s: %s, p-value %.2g", where, row.verdict, row.p_value)
