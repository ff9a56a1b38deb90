"""Put the networks of an ensemble together: their mean is the efficiency, each a replica."""

from truthtag.estimators.ensemble import write_manifest
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        members = snakemake.params.members
        # Reads every network, and refuses those that do not belong together.
        write_manifest(members, snakemake.output[0])
        log.info("%d members of one kind and training", len(members))
