"""Put the networks of an ensemble together: their mean is the efficiency, each a replica."""

from truthtag.estimators.cross_fitting import Folds
from truthtag.estimators.ensemble import write_manifest
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        members = params.members
        folds = Folds(**params.folds) if params.folds else None
        # Reads every network, leaves out those that failed, and refuses those of other trainings.
        failed = write_manifest(
            members, snakemake.output[0], folds=folds, fold_of_member=params.fold_of_member
        )
        for failure in failed:
            log.warning("left out: %s", failure)
        used = len(members) - len(failed)
        log.info("%d of %d members, of one kind and training", used, len(members))
