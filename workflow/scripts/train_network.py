"""Train one network of an ensemble; a job that was killed goes on from its last checkpoint."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from truthtag.jets import read_jets
from truthtag.logs import Progress, job_log
from truthtag.network import Architecture, save_network
from truthtag.provenance import digest, versions
from truthtag.tables import write_frame
from truthtag.training import Events, Options, Training, train

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        torch.set_num_threads(snakemake.threads)
        params = snakemake.params
        events, validation = (Events(read_jets(snakemake.input[name])) for name in ("train", "validation"))
        architecture = Architecture(**params.architecture)
        options = Options(**params.training)
        seed = (params.base_seed, snakemake.wildcards.network, int(snakemake.wildcards.seed))
        training = Training(architecture, options, events, seed)
        log.info("%d events, %d parameters, %d threads", events.count, training.size, torch.get_num_threads())

        checkpoint = Path(params.checkpoint)
        identity = {"run": digest([params.architecture, params.training, seed, params.code]), "events": events.digest()}
        if training.resume(checkpoint, identity):
            log.info("going on from %s after %d epochs", checkpoint, len(training.history))
        progress = Progress(log, events.count * options.epochs, "events", done=events.count * len(training.history))
        for epoch in train(training, events, validation, progress.add):
            training.save(checkpoint, identity)
            log.info(
                "epoch %d of %d: loss %.6f on training, %.6f on validation events, %.0f events/s%s",
                epoch.epoch,
                options.epochs,
                epoch.train_loss,
                epoch.validation_loss,
                epoch.events_per_second,
                ", best so far" if epoch.best else "",
            )

        provenance = {
            "seed": list(seed),
            "training": params.training,
            "train_events": events.count,
            "validation_loss": training.best_loss,
            "versions": versions(("truthtag", "numpy", "torch")),
        }
        write_frame(pd.DataFrame([asdict(row) for row in training.history]), snakemake.output.history, provenance)
        save_network(training.best_network(), snakemake.output.network, provenance)
        checkpoint.unlink(missing_ok=True)
