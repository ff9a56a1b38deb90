"""Compute the numbers that one figure shows."""

from truthtag.data.files import write_frame
from truthtag.figures.catalogue import FigureEntry
from truthtag.figures.inputs import read_inputs
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        entry = FigureEntry.from_dict(params.entry)
        inputs = read_inputs(entry, params.files, params.flavours, params.options, params.truth)
        numbers = entry.load_numbers()(inputs)
        write_frame(numbers, snakemake.output[0])
        log.info("%s: %d rows", entry.name, len(numbers))
