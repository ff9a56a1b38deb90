"""Put the networks of an ensemble together: their mean is the efficiency, each is a replica."""

from truthtag.estimators.ensemble import Ensemble, write_manifest
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        members = snakemake.params.members
        ensemble = Ensemble.load(members)
        write_manifest(members, snakemake.output[0])
        log.info("%d members of one kind and training", len(ensemble.members))
