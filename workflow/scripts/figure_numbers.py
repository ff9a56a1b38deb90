"""Compute the numbers that one figure shows."""

import pandas as pd

from truthtag.data.files import read_frame, rows_by, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import read_prediction
from truthtag.figures.numbers import NUMBERS, Inputs
from truthtag.toy.truth import make_truth
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, figure = snakemake.params, snakemake.wildcards.figure
        samples = {sample: read_jets(shards) for sample, shards in params.samples.items()}
        predicted = {
            sample: {
                name: read_prediction(*files).of(jets)
                for name, files in params.predictions[sample].items()
            }
            for sample, jets in samples.items()
        }
        domains = {
            sample: read_frame(path, ("in_domain",))["in_domain"].to_numpy()
            for sample, path in params.domains.items()
        }
        tables = [pd.read_csv(path) for path in snakemake.input.scales]
        scales = {
            name: rows.set_index("number")["scale"].to_dict()
            for table in tables
            for name, rows in rows_by(table, "efficiency").items()
        }
        truth = make_truth(params.truth, params.flavours)
        inputs = Inputs(samples, predicted, domains, scales, truth, params.flavours, params.options)
        # Coverage looks at the spread as it is, too.
        numbers = NUMBERS[figure](inputs if figure == "coverage" else inputs.corrected())
        write_frame(numbers, snakemake.output[0])
        log.info("%s: %d rows", figure, len(numbers))
