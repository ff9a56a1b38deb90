"""Count how often the truth lies within the errors, jet by jet and in the bins of histograms."""

import numpy as np
import pandas as pd

from truthtag.data.axes import edges_of
from truthtag.data.files import read_csv, read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.prediction_files import read_prediction
from truthtag.estimators.predictions import at_point, points_of
from truthtag.statistics.coverage import coverage, coverage_table
from truthtag.statistics.points import joined, rows_at
from truthtag.statistics.spread import scales_by_name
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        jets = read_jets(snakemake.input.sample)
        predictions = {
            name: read_prediction(*files).aligned_to(jets)
            for name, files in params.predictions.items()
        }
        in_domain = read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy()
        scales = read_csv(snakemake.input.scales)
        histograms = pd.concat(map(read_frame, snakemake.input.histograms), ignore_index=True)
        axes = {variable: np.asarray(edges_of(axis)) for variable, axis in params.axes.items()}
        tables = {}
        for point in points_of(jets):
            at_one, predicted = at_point(jets, predictions, point)
            tables[point] = coverage(
                at_one,
                predicted,
                in_domain,
                params.flavours,
                axes,
                scales_by_name(scales, point),
                rows_at(histograms, point),
                params.minimum_events,
            )
        numbers = joined(tables)
        write_frame(numbers, snakemake.output.bins)
        table = coverage_table(numbers, scales)
        write_frame(table, snakemake.output.table)
        log.info("%d rows", len(table))
