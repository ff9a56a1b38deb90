"""Compare every efficiency on every sample with the tags and, where it is known, the truth."""

import numpy as np
import pandas as pd

from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.prediction_files import read_prediction
from truthtag.estimators.predictions import points_of
from truthtag.statistics.accuracy import compare_likelihoods, summarise
from truthtag.statistics.points import joined
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
            found: dict[str, dict[str | None, pd.DataFrame]] = {name: {} for name in tables}
            for point in points_of(jets):
                at_point = jets.at_point(point)
                efficiencies = {
                    name: read_prediction(file).aligned_to(jets).of_point(jets, point).values
                    for name, file in params.predictions[sample].items()
                }
                if at_point.is_tagged is not None:
                    likelihood = compare_likelihoods(at_point.is_tagged, efficiencies)
                    found["likelihood"][point] = likelihood
                for name, chosen in choices.items():
                    found[name][point] = summarise(
                        at_point, efficiencies, params.flavours, chosen, in_domain
                    )
            for name, by_point in found.items():
                if not by_point:
                    continue
                table = joined(by_point)
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
