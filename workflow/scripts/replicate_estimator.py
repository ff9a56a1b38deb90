"""Fit an estimator to resamples of the training events, for its statistical error."""

from typing import cast

from truthtag.data.training_blocks import open_samples
from truthtag.estimators.cross_fitting import Folds, cut
from truthtag.estimators.protocol import ResampledOptions, kind_and_options, streams
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import save_replicas
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        kind, given = kind_and_options(params.options, f"estimators.{params.name}")
        # Only resampled kinds come here: their options have `replicas`.
        options = cast("ResampledOptions", given)
        train = open_samples(snakemake.input.train, in_blocks=streams(kind))
        validation = open_samples(snakemake.input.validation, in_blocks=streams(kind))
        stops_early = options.stops_early
        _, chosen, seen = cut(train, validation, params.folds, params.fold, stops_early=stops_early)
        # What is drawn is the whole sample, so that all folds share their draws.
        part = None
        if seen:
            part = Folds(**params.folds).learning(params.fold, stops_early=stops_early)
        seed = (params.base_seed, params.name)
        replicas = fit_replicas(kind, train, chosen, options, options.replicas, seed, part)
        provenance = {
            "options": params.options,
            "seed": list(seed),
            **seen,
            "config": digest(params.options),
            "versions": versions(),
        }
        save_replicas(replicas, snakemake.output[0], provenance)
        log.info("%d replicas, %s", len(replicas), replicas[0].describe())
