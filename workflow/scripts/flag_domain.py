"""Tell which jets of a sample are like those that the efficiencies were learned from."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.statistics.domain import Domain
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        jets = read_jets(snakemake.input.sample)
        distance = Domain.read(snakemake.input.domain).distance(jets)
        inside = distance <= 1
        columns = {"event": jets.per_jet("event"), "in_domain": inside, "distance": distance}
        write_frame(pd.DataFrame(columns), snakemake.output[0], {"versions": versions()})
        log.info("%d jets, %.2f%% of them in the domain", jets.n_jets, 100 * inside.mean())
