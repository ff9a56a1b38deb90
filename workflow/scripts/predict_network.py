"""Predict the efficiencies of a sample with the mean of an ensemble of networks."""

import torch

from truthtag.data.jets import read_jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.model import choose_device
from truthtag.estimators.predictions import predict, write_prediction, write_replicas
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        torch.set_num_threads(snakemake.threads)
        jets = read_jets(snakemake.input.sample)
        ensemble = Ensemble.load(snakemake.input.networks, choose_device(snakemake.params.device))
        prediction = predict(ensemble, jets)
        metadata = {
            "efficiency": list(snakemake.input.networks),
            "versions": versions(("truthtag", "numpy", "torch")),
        }
        write_prediction(prediction, snakemake.output.prediction, metadata)
        write_replicas(prediction, snakemake.output.replicas, metadata)
        log.info(
            "%d jets, %d networks, mean efficiency %.4f",
            jets.n_jets,
            len(ensemble.members),
            prediction.values.mean(),
        )
