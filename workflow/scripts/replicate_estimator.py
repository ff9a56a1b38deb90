"""Fit an estimator to resamples of the training events, for its statistical error."""

from typing import cast

from truthtag.data.jets import read_jets
from truthtag.estimators.protocol import ResampledOptions, kind_and_options
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
        train = read_jets(snakemake.input.train)
        validation = read_jets(snakemake.input.validation)
        seed = (params.base_seed, params.name)
        replicas = fit_replicas(kind, train, validation, options, options.replicas, seed)
        provenance = {
            "options": params.options,
            "seed": list(seed),
            "config": digest(params.options),
            "versions": versions(),
        }
        save_replicas(replicas, snakemake.output[0], provenance)
        log.info("%d replicas, %s", len(replicas), replicas[0].describe())
