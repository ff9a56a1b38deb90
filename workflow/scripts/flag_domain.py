"""Tell which jets of a sample are like those that the efficiencies were learned from."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.statistics.domain import read_domain
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        jets = read_jets(snakemake.input.sample)
        distance = read_domain(snakemake.input.domain).distance(jets)
        columns = {"event": jets.per_jet("event"), "in_domain": distance <= 1, "distance": distance}
        write_frame(pd.DataFrame(columns), snakemake.output[0], {"versions": versions()})
        log.info(
            "%d jets, %.2f%% of them in the domain", jets.n_jets, 100 * columns["in_domain"].mean()
        )
