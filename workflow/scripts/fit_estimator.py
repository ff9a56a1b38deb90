"""Fit one estimator to the training sample, in one go."""

from truthtag.data.jets import read_samples
from truthtag.estimators.cross_fitting import cut
from truthtag.estimators.protocol import kind_and_options
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        kind, options = kind_and_options(params.options, f"estimators.{params.name}")
        train = read_samples(snakemake.input.train)
        validation = read_samples(snakemake.input.validation)
        if first := params.get("first_events"):
            train = train.first(first["train"])
            validation = validation.first(first["validation"])
        train, validation, seen = cut(
            train, validation, params.folds, params.fold, stops_early=options.stops_early
        )
        seed = (params.base_seed, params.name)
        fitted = kind.fit(train, validation, options, seed)
        provenance = {
            "options": params.options,
            "seed": list(seed),
            "train_jets": train.n_jets,
            **seen,
            "config": digest(params.options),
            "versions": versions(),
        }
        fitted.save(snakemake.output[0], provenance)
        log.info("%d jets, %s", train.n_jets, fitted.describe())
