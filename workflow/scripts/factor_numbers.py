"""Read what the networks of a factorised ensemble have learned."""

import numpy as np

from truthtag.data.axes import edges_of
from truthtag.data.files import write_frame
from truthtag.estimators.network.learned_factors import read_factors
from truthtag.estimators.network.model import load_network
from truthtag.toy.truth import make_truth
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        jet = {
            **params.options["reading"],
            "flavour": params.flavours[params.options["reading"]["flavour"]],
        }
        pt, distance = (
            np.asarray(edges_of(params.options["axes"][name])) for name in ("pt_fine", "delta_r")
        )
        networks = [load_network(path) for path in snakemake.input]
        truth = make_truth(params.truth, params.flavours)
        write_frame(
            read_factors(networks, truth, params.flavours, jet, pt, distance), snakemake.output[0]
        )
        log.info("%d networks", len(networks))
