"""Predict the efficiencies of a sample with an estimator and its replicas."""

from pathlib import Path
from typing import Any

from truthtag.data.blocks import SampleFiles
from truthtag.estimators.ensemble import accelerated, files_by_fold, load
from truthtag.estimators.failures import LEFT_OUT
from truthtag.estimators.prediction_files import prediction_writer
from truthtag.estimators.predictions import predict
from truthtag.estimators.resampling import resamples_of
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, output = snakemake.params, snakemake.output
        sample = SampleFiles(snakemake.input.sample)
        folder = Path(params.folder)
        ensemble = accelerated(load(folder, device=params.device, kind=params.kind))
        metadata: dict[str, Any] = {
            "estimator": str(folder),
            "versions": versions(("truthtag", "numpy", "torch")),
        }
        if failed := getattr(ensemble, "left_out", ()):
            metadata[LEFT_OUT] = list(map(str, failed))
        if engine := getattr(ensemble, "engine", None):
            metadata["engine"] = engine.name
        partners = resamples_of(ensemble.held_out if params.held_out else ensemble)
        if partners is not None:
            # Which replicas learned from the same events.
            metadata["resamples"] = partners
        if params.held_out:
            # Events that were learned from, each by what did not see it.
            metadata["folds"] = {
                "count": ensemble.folds.count,
                "by": ensemble.folds.by,
                "weighted_by": files_by_fold(folder),
            }
            ensemble = ensemble.held_out
        total, count = 0.0, 0
        with prediction_writer(output.prediction, output.replicas, metadata) as writer:
            for jets in sample:
                prediction = predict(ensemble, jets)
                writer.write(prediction, jets)
                total += float(prediction.values.sum())
                count += prediction.values.size
            writer.finish()
        mean, n_replicas = total / max(1, count), len(ensemble.members)
        log.info("%d jets, %d replicas, mean efficiency %.4f", sample.n_jets, n_replicas, mean)
