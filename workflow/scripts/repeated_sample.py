"""Measure what the networks of one of the repeated training samples say, and how sure they are."""

import pandas as pd
import torch

from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.network.model import choose_device
from truthtag.estimators.predictions import predict
from truthtag.figures.numbers import Inputs, coverage, events_closure, jets_closure
from truthtag.toy.truth import make_truth
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        torch.set_num_threads(snakemake.threads)
        params, name = snakemake.params, snakemake.wildcards.network
        jets = read_jets(snakemake.input.sample)
        predicted = predict(
            Ensemble.load(snakemake.input.networks, choose_device(params.device)), jets
        )
        in_domain = read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy()
        truth = make_truth(params.truth, params.flavours)
        # The spread as it is: no scale.
        inputs = Inputs(
            {"test": jets},
            {"test": {name: predicted}},
            {"test": in_domain},
            {name: {}},
            truth,
            params.flavours,
            params.options,
        )
        marks = {"network": name, "sample": int(snakemake.wildcards.part)}
        frame = pd.concat([jets_closure(inputs), events_closure(inputs)])
        histograms = frame[(frame["filled_by"] == name) & (frame["events"] == "all")]
        write_frame(histograms.assign(**marks), snakemake.output.histograms)
        table = coverage(inputs)
        whole = table[(table["variable"] == "all") & (table["spread"] == "raw")]
        write_frame(whole.assign(**marks), snakemake.output.coverage)
        log.info("%d histogram bins, %d networks", len(histograms), len(snakemake.input.networks))
