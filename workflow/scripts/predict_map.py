"""Predict the efficiencies of a sample with a map and its replicas."""

from truthtag.data.jets import read_jets
from truthtag.estimators.maps import ReplicatedMap, read_map, read_replica_maps
from truthtag.estimators.predictions import predict, write_prediction, write_replicas
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        jets = read_jets(snakemake.input.sample)
        fitted = ReplicatedMap(
            read_map(snakemake.input.map), read_replica_maps(snakemake.input.replicas)
        )
        prediction = predict(fitted, jets)
        metadata = {"efficiency": snakemake.input.map, "versions": versions()}
        write_prediction(prediction, snakemake.output.prediction, metadata)
        write_replicas(prediction, snakemake.output.replicas, metadata)
        log.info("%d jets, mean efficiency %.4f", jets.n_jets, prediction.values.mean())
