"""Fit an estimator to several repeated training samples, and measure it with its replicas."""

import pandas as pd

from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets, read_samples
from truthtag.estimators.protocol import kind_and_options
from truthtag.statistics.distributions import Distribution
from truthtag.studies.repeated_fits import Judge, Measured, fit_with_replicas
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        kind, options = kind_and_options(params.options, f"estimators.{params.name}")
        start, stop = params.part
        train = read_jets(snakemake.input.train).take(slice(start, stop))
        validation = read_samples(snakemake.input.validation)
        judge = Judge(
            read_jets(snakemake.input.sample),
            read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy(),
            [Distribution.from_options(*item) for item in params.distributions.items()],
            params.flavours,
            params.minimum_events,
        )
        numbers = range(params.first, params.last + 1)
        events = (stop - start) // len(numbers)
        tables = []
        for place, number in enumerate(numbers):
            sample = train.take(slice(place * events, (place + 1) * events))
            # The name of the random stream: each sample has draws of its own.
            seed = (params.base_seed, f"{params.name}/{number}")
            fitted = fit_with_replicas(kind, sample, validation, options, seed)
            measured = judge.measure(params.name, fitted, number)
            tables.append(measured)
            regret = measured.accuracy["regret"].iloc[0]
            log.info("sample %d: %d jets, regret %.6f nats/jet", number, sample.n_jets, regret)
        for what in Measured._fields:
            of_samples = [getattr(measured, what) for measured in tables]
            write_frame(pd.concat(of_samples, ignore_index=True), snakemake.output[what])
