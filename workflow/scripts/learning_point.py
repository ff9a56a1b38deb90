"""Measure one efficiency that was fitted to the first events of the training sample."""

import torch

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.maps import FittedProduct, read_map
from truthtag.estimators.network.model import choose_device
from truthtag.studies.studies import Point
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        torch.set_num_threads(snakemake.threads)
        params, name, paths = (
            snakemake.params,
            snakemake.wildcards.efficiency,
            snakemake.input.fitted,
        )
        is_network, events = params.is_network, params.first_events["train"]
        ensemble = (
            Ensemble.load(paths, choose_device(params.device))
            if is_network
            else Ensemble([read_map(paths[0])])
        )
        first = ensemble.members[0]
        point = Point(
            efficiency=name,
            events=events,
            train_jets=read_jets(snakemake.input.train).first(events).n_jets,
            seeds=len(ensemble.members) if is_network else None,
            parameters=first.values.size if isinstance(first, FittedProduct) else None,
        )
        table = point.measure(ensemble.members, read_jets(snakemake.input.sample), params.flavours)
        write_frame(table, snakemake.output[0])
        log.info("%s, %d events: regret %.6f nats/jet", name, events, table["regret"].iloc[0])
