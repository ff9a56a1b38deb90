"""Count how often the truth lies within the errors, jet by jet and in the bins of histograms."""

import numpy as np
import pandas as pd

from truthtag.data.axes import edges_of
from truthtag.data.files import read_csv, read_frame, write_frame
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.statistics.coverage import CoverageSums, coverage_table
from truthtag.statistics.points import joined, rows_at
from truthtag.statistics.spread import scales_by_name
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, files = snakemake.params, snakemake.input
        blocks = SampleBlocks(files.sample, params.predictions, files.domain)
        scales = read_csv(files.scales)
        histograms = pd.concat(map(read_frame, files.histograms), ignore_index=True)
        axes = {variable: np.asarray(edges_of(axis)) for variable, axis in params.axes.items()}
        sums = {
            point: CoverageSums(params.flavours, axes, scales_by_name(scales, point))
            for point in blocks.points
        }
        for block in blocks:
            for point, of_point in sums.items():
                of_point.add(block.at_point(point))
        tables = {}
        for point, of_point in sums.items():
            tables[point] = of_point.table(rows_at(histograms, point), params.minimum_events)
        numbers = joined(tables)
        write_frame(numbers, snakemake.output.bins)
        table = coverage_table(numbers, scales)
        write_frame(table, snakemake.output.table)
        log.info("%d rows", len(table))
