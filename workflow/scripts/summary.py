"""Compare every efficiency with the truth on every sample."""

import numpy as np
import pandas as pd

from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import read_efficiencies
from truthtag.statistics.accuracy import compare_likelihoods, summarise
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        low, high = params.in_range["pt"]
        tables: dict[str, list[pd.DataFrame]] = {
            name: [] for name in ("all_jets", "in_range", "in_domain", "likelihood")
        }
        for sample, shards in params.samples.items():
            jets = read_jets(shards)
            in_domain = read_frame(params.domains[sample], ("in_domain",))["in_domain"].to_numpy()
            choices = {
                "all_jets": np.ones(jets.n_jets, dtype=bool),
                "in_range": (jets.pt >= low) & (jets.pt <= high),
                "in_domain": in_domain,
            }
            efficiencies = read_efficiencies(params.predictions[sample], jets)
            tags = jets.per_jet("is_tagged")
            found = {"likelihood": compare_likelihoods(tags, efficiencies)}
            for name, chosen in choices.items():
                found[name] = summarise(jets, efficiencies, params.flavours, chosen, in_domain)
            for name, table in found.items():
                table.insert(0, "sample", sample)
                tables[name].append(table)
            log.info(
                "%s: %d jets, %d in the training range, %d in the domain",
                sample,
                jets.n_jets,
                choices["in_range"].sum(),
                in_domain.sum(),
            )
        for name, parts in tables.items():
            write_frame(pd.concat(parts), snakemake.output[name])
