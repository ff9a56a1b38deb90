"""Compare every efficiency with the truth on every sample."""

import numpy as np
import pandas as pd

from truthtag.closure import compare_likelihoods, summarise
from truthtag.efficiency import read_efficiencies
from truthtag.jets import read_jets
from truthtag.logs import job_log
from truthtag.tables import write_frame

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        everything, inside, likelihoods = [], [], []
        for sample, shards in params.samples.items():
            jets = read_jets(shards)
            low, high = params.in_range["pt"]
            in_range = (jets.pt >= low) & (jets.pt <= high)
            efficiencies = read_efficiencies(params.predictions[sample], jets)
            for rows, chosen in ((everything, np.ones(jets.n_jets, dtype=bool)), (inside, in_range)):
                table = summarise(jets, efficiencies, params.flavours, chosen)
                table.insert(0, "sample", sample)
                rows.append(table)
            likelihood = compare_likelihoods(jets.is_tagged, efficiencies)
            likelihood.insert(0, "sample", sample)
            likelihoods.append(likelihood)
            log.info("%s: %d jets, %d inside the training range", sample, jets.n_jets, in_range.sum())
        write_frame(pd.concat(everything), snakemake.output.all_jets)
        write_frame(pd.concat(inside), snakemake.output.in_range)
        write_frame(pd.concat(likelihoods), snakemake.output.likelihood)
