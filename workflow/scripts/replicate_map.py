"""Fit a map to resamples of the training events, for its statistical error."""

from truthtag.data.jets import read_jets
from truthtag.estimators.maps import fit_replicas, write_replica_maps
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        jets, seed = read_jets(snakemake.input.train), (params.base_seed, snakemake.wildcards.map)
        replicas = fit_replicas(jets, params.options, params.replicas, seed)
        metadata = {"options": params.options, "seed": list(seed), "config": digest(params.options)}
        write_replica_maps(replicas, snakemake.output[0], {**metadata, "versions": versions()})
        log.info("%d replicas, %s", len(replicas), replicas[0].describe())
