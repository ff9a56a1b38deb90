"""Compute the numbers that one figure shows."""

from truthtag.data.files import write_frame
from truthtag.figures.inputs import read_inputs
from truthtag.registry import load_object
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        figure = snakemake.wildcards.figure
        compute = load_object(params.numbers, f"figure {figure}")
        inputs = read_inputs(params.files, params.flavours, params.options, params.truth)
        numbers = compute(inputs)
        write_frame(numbers, snakemake.output[0])
        log.info("%s: %d rows", figure, len(numbers))
