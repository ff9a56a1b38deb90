"""Describe every sample: events, weights, jets of each flavour, how many of them are tagged."""

import pandas as pd

from truthtag.data.blocks import SampleFiles
from truthtag.data.event_tables import EventTables
from truthtag.data.files import read_metadata, write_frame
from truthtag.statistics.samples import SampleSums
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        # Only samples that were read have tables of all their events, and counts.
        events = params.get("events") or {}
        parts = []
        for sample, shards in params.samples.items():
            files = events.get(sample, [])
            sums = SampleSums(params.flavours)
            for jets in SampleFiles(shards):
                sums.add(jets)
            for rows in EventTables(files) if files else ():
                sums.add_events(rows)
            counts = [read_metadata(file).get("counts", {}) for file in files]
            table = sums.table([region for one in counts for region in one.get("by_region", [])])
            table.insert(0, "sample", sample)
            parts.append(table)
            effective = table["effective_events"].iloc[0]
            log.info("%s: %d jets, %.1f effective events", sample, table["jets"].iloc[0], effective)
        write_frame(pd.concat(parts), snakemake.output[0])
