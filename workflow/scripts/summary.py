"""Compare every efficiency on every sample with the tags and, where it is known, the truth."""

import pandas as pd

from truthtag.data.files import write_frame
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.statistics.accuracy import summary_in_blocks
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        tables: dict[str, list[pd.DataFrame]] = {
            name: [] for name in ("all_jets", "in_range", "in_domain", "likelihood")
        }
        for sample, shards in params.samples.items():
            blocks = SampleBlocks(shards, params.predictions[sample], params.domains[sample])
            found = summary_in_blocks(
                blocks, blocks.points, params.flavours, tuple(params.in_range["pt"])
            )
            for name, table in found.items():
                table.insert(0, "sample", sample)
                tables[name].append(table)
            log.info("%s: %d jets", sample, blocks.sample.n_jets)
        for name, parts in tables.items():
            write_frame(pd.concat(parts), snakemake.output[name])
