"""Train one network of an ensemble, or several together; a job that was killed goes on from its last checkpoint."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.network.model import Architecture, choose_device, save_network
from truthtag.estimators.network.trainer import Events, Options, Training, train
from truthtag.progress import Progress
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log


def load(name: str, device: torch.device) -> Events:
    """Read the events of a sample, or those that this job takes of them."""
    jets, params = read_jets(snakemake.input[name]), snakemake.params
    if first := getattr(params, "first_events", None):
        jets = jets.first(first[name])
    if (part := getattr(params, "part", None)) and name == "train":
        jets = jets.take(slice(*part))
    return Events(jets, device)


if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        torch.set_num_threads(snakemake.threads)
        params = snakemake.params
        device = choose_device(params.device)
        events, validation = load("train", device), load("validation", device)
        options = Options(**params.training)
        seeds = [(params.base_seed, params.network, number) for number in params.seeds]
        training = Training(Architecture(**params.architecture), options, events, seeds, device)
        log.info(
            "%d events, %d network(s) of %d parameters, %s, %d threads",
            events.count,
            len(seeds),
            training.size,
            device,
            torch.get_num_threads(),
        )

        checkpoint = Path(params.checkpoint)
        identity = {
            "run": digest([params.architecture, params.training, seeds, params.code]),
            "events": events.digest(),
        }
        if training.resume(checkpoint, identity):
            log.info("going on from %s after %d epochs", checkpoint, training.epochs_done)
        done = events.count * training.epochs_done
        progress = Progress(log, events.count * options.epochs, "events", done=done)
        for epochs in train(training, events, validation, progress.add):
            training.save(checkpoint, identity)
            for epoch in epochs:
                log.info(
                    "epoch %d of %d: loss %.6f on training, %.6f on validation events, %.0f events/s%s",
                    epoch.epoch,
                    options.epochs,
                    epoch.train_loss,
                    epoch.validation_loss,
                    epoch.events_per_second,
                    ", best so far" if epoch.best else "",
                )

        networks, histories = (list(snakemake.output)[i::2] for i in (0, 1))
        for which, (seed, record) in enumerate(zip(seeds, training.records, strict=True)):
            provenance = {
                "seed": list(seed),
                "training": params.training,
                "train_events": events.count,
                "validation_loss": record.best_loss,
                "versions": versions(("truthtag", "numpy", "torch")),
            }
            write_frame(
                pd.DataFrame([asdict(row) for row in record.history]), histories[which], provenance
            )
            save_network(training.best_network(which), networks[which], provenance)
        checkpoint.unlink(missing_ok=True)
