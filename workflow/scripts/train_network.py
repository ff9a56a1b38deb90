"""Train one network of an ensemble, or several together; a killed job goes on where it was."""

from pathlib import Path

from truthtag.data.files import write_frame
from truthtag.data.training_blocks import first_events, open_samples, some_events
from truthtag.estimators.cross_fitting import cut
from truthtag.estimators.protocol import kind_and_options, streams
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        kind, given = kind_and_options(params.options, f"estimators.{params.name}")
        # What changes no number is no parameter: to change it trains no network again.
        machine = {"threads": snakemake.threads}
        if "training_mb" in snakemake.resources.keys():  # noqa: SIM118 - these are names
            machine["memory_limit"] = snakemake.resources.training_mb
        options = given.model_copy(update=machine)
        train = open_samples(snakemake.input.train, in_blocks=streams(kind))
        validation = open_samples(snakemake.input.validation, in_blocks=streams(kind))
        if first := params.get("first_events"):
            train = first_events(train, first["train"])
            validation = first_events(validation, first["validation"])
        if part := params.get("part"):
            train = some_events(train, *part)
        train, validation, seen = cut(
            train, validation, params.folds, params.fold, stops_early=options.stops_early
        )
        checkpoint = Path(params.checkpoint)
        networks = kind.fit_members(
            train,
            validation,
            options,
            [(params.base_seed, params.name, number) for number in params.seeds],
            device=params.device,
            checkpoint=checkpoint,
            identity=params.code,
            logger=log,
        )
        provenance = {"versions": versions(("truthtag", "numpy", "torch")), **seen}
        if "network" in snakemake.output.keys():  # noqa: SIM118 - these are names of files
            targets = [Path(snakemake.output.network)]
        else:
            targets = [Path(snakemake.output[0]) / f"seed_{number}.pt" for number in params.seeds]
        for network, target in zip(networks, targets, strict=True):
            # Of a network that failed: why.
            notes = getattr(network, "notes", {})
            history = target.with_suffix(".history.parquet")
            write_frame(network.history, history, {**provenance, **notes})
            network.save(target, provenance)
        # Only now are the networks safe without it.
        checkpoint.unlink(missing_ok=True)
