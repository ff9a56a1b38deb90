"""Tell which jets of a sample are like those that the efficiencies were learned from."""

import pyarrow as pa

from truthtag.data.blocks import SampleFiles
from truthtag.data.files import ParquetBlocks, atomic_write
from truthtag.statistics.domain import Domain
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        sample = SampleFiles(snakemake.input.sample)
        domain = Domain.read(snakemake.input.domain)
        target, metadata = snakemake.output[0], {"versions": versions()}
        n_inside = 0
        with atomic_write(target) as path, ParquetBlocks(path, metadata, target) as file:
            for jets in sample:
                distance = domain.distance(jets)
                inside = distance <= 1
                columns = {
                    "event": jets.per_jet("event"),
                    "in_domain": inside,
                    "distance": distance,
                }
                file.write(pa.table(columns))
                n_inside += int(inside.sum())
        share = n_inside / max(1, sample.n_jets)
        log.info("%d jets, %.2f%% of them in the domain", sample.n_jets, 100 * share)
