"""Fit one estimator to the training sample, in one go."""

from truthtag.data.training_blocks import first_events, number_of_jets, open_samples
from truthtag.estimators.cross_fitting import cut
from truthtag.estimators.protocol import kind_and_options, streams
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        kind, options = kind_and_options(params.options, f"estimators.{params.name}")
        train = open_samples(snakemake.input.train, in_blocks=streams(kind))
        validation = open_samples(snakemake.input.validation, in_blocks=streams(kind))
        if first := params.get("first_events"):
            train = first_events(train, first["train"])
            validation = first_events(validation, first["validation"])
        train, validation, seen = cut(
            train, validation, params.folds, params.fold, stops_early=options.stops_early
        )
        seed = (params.base_seed, params.name)
        fitted = kind.fit(train, validation, options, seed)
        n_jets = number_of_jets(train)
        provenance = {
            "options": params.options,
            "seed": list(seed),
            "train_jets": n_jets,
            **seen,
            "config": digest(params.options),
            "versions": versions(),
        }
        fitted.save(snakemake.output[0], provenance)
        log.info("%d jets, %s", n_jets, fitted.describe())
