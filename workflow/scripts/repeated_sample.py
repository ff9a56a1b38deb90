"""Measure what the networks of one repeated training sample say, and how sure they are."""

import numpy as np
import pandas as pd

from truthtag.data.axes import edges_of
from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.predictions import predict
from truthtag.statistics.coverage import jet_coverage
from truthtag.statistics.distributions import Distribution, fill_distribution
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        name = snakemake.wildcards.estimator
        jets = read_jets(snakemake.input.sample)
        networks = Ensemble.load(list(snakemake.input.networks), device=params.device)
        predicted = {name: predict(networks, jets)}
        in_domain = read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy()
        marks = {"network": name, "sample": int(snakemake.wildcards.part)}
        parts = []
        for distribution, options in params.distributions.items():
            # The spread as it is: no scale.
            frame = fill_distribution(
                Distribution.from_options(distribution, options),
                jets,
                predicted,
                in_domain,
                params.flavours,
            )
            parts.append(frame[(frame["filled_by"] == name) & (frame["events"] == "all")])
        histograms = pd.concat(parts, ignore_index=True).assign(**marks)
        write_frame(histograms, snakemake.output.histograms)
        axes = {variable: np.asarray(edges_of(axis)) for variable, axis in params.axes.items()}
        coverage = jet_coverage(jets, predicted, in_domain, params.flavours, axes)
        whole = coverage[coverage["variable"] == "all"].assign(spread="raw", **marks)
        write_frame(whole, snakemake.output.coverage)
        log.info("%d histogram bins, %d networks", len(histograms), len(networks.members))
