"""Write the friends of one of the user's files: efficiencies and weights, entry by entry."""

from truthtag.data.readers.options import ReaderOptions
from truthtag.exports.sample_friends import write_friend
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, files = snakemake.params, snakemake.input
        names = params.estimators
        provenance = {
            "sample": snakemake.wildcards.sample,
            "file": params.file,
            "estimators": names,
            "config": digest(params.reader),
            "versions": versions(),
        }
        entries = write_friend(
            params.file,
            ReaderOptions.model_validate(params.reader),
            files.shard,
            files.events,
            dict(zip(names, files.predictions, strict=True)),
            dict(zip(names, files.weights, strict=True)),
            root_path=snakemake.output.get("root"),
            parquet_path=snakemake.output.get("parquet"),
            provenance=provenance,
        )
        log.info("%s: %d entries", params.file, entries)
