"""Compute the numbers that one figure shows."""

from truthtag.efficiency import read_efficiencies
from truthtag.figures import NUMBERS, Inputs
from truthtag.jets import read_jets
from truthtag.logs import job_log
from truthtag.tables import write_frame
from truthtag.truth import make_truth

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, figure = snakemake.params, snakemake.wildcards.figure
        samples = {sample: read_jets(shards) for sample, shards in params.samples.items()}
        efficiencies = {sample: read_efficiencies(params.predictions[sample], jets) for sample, jets in samples.items()}
        truth = make_truth(params.truth, params.flavours)
        numbers = NUMBERS[figure](Inputs(samples, efficiencies, truth, params.flavours, params.options))
        write_frame(numbers, snakemake.output[0])
        log.info("%s: %d rows", figure, len(numbers))
