"""Learn where the training jets are, so that jets elsewhere can be told."""

import numpy as np

from truthtag.data.training_blocks import TrainingBlocks, number_of_jets
from truthtag.estimators.cross_fitting import cut
from truthtag.seeds import seed_words
from truthtag.statistics.domain import Domain
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        train = TrainingBlocks(snakemake.input.train)
        validation = TrainingBlocks(snakemake.input.validation)
        # One fold tells how far new jets are from those of the others.
        train, validation, _ = cut(train, validation, params.folds, 0, stops_early=True)
        rng = np.random.default_rng(seed_words((params.base_seed, "domain")))
        domain = Domain.fit(train, validation, rng, **params.options)
        domain.write(snakemake.output[0], {"options": params.options, "versions": versions()})
        log.info("%d reference jets of %d", len(domain.reference), number_of_jets(train))
