"""Read one file of a user's sample into a shard: its jets, and a table of its events."""

from truthtag.data.labels import Labels
from truthtag.data.readers.convert import convert
from truthtag.data.readers.options import Input, ReaderOptions, Take
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        settings = {
            "reader": params.reader,
            "inputs": params.inputs,
            "working_points": params.working_points,
            "labels": params.labels,
            "take": params.take,
            "weight": params.weight,
        }
        metadata = {
            "sample": snakemake.wildcards.sample,
            "file": params.file,
            "config": digest(settings),
            "settings": settings,
            "versions": versions(),
        }
        counts = convert(
            params.file,
            ReaderOptions.model_validate(params.reader),
            Labels.from_metadata(params.labels),
            params.working_points,
            {name: Input.model_validate(one) for name, one in params.inputs.items()},
            params.weight,
            Take.model_validate(params.take) if params.take else None,
            snakemake.output.jets,
            snakemake.output.events,
            metadata,
        )
        log.info("%s: %s", params.file, counts)
