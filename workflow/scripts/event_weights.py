"""Turn the efficiencies of the jets of a sample into weights of its events."""

from contextlib import ExitStack

from truthtag.data.event_tables import EventTables, with_last
from truthtag.data.files import ParquetBlocks, atomic_write
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.weights.sample_weights import Selection
from truthtag.weights.scale_factors import ScaleFactors
from truthtag.weights.tag_counts import is_leading
from truthtag.weights.weights_file import WeightsFile
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log, ExitStack() as stack:
        options = snakemake.params.options
        flavours = snakemake.params.flavours
        targets = dict(zip(snakemake.output, snakemake.input.predictions, strict=True))
        blocks = SampleBlocks(snakemake.input.sample, targets)
        # Only samples that were read have tables of all their events.
        files = snakemake.input.get("events")
        events = EventTables(files) if files else None
        leading = options.get("leading")
        kept = tuple(flavours[name] for name in options["keep_tags_of"])
        stated = options.get("scale_factors")
        scale_factors = None
        if stated:
            points = blocks.sample.labels.points
            scale_factors = ScaleFactors.from_options(stated, flavours, points)
        direct = bool(stated and stated["direct"])
        metadata = {"options": options, "versions": versions()}
        tables = {}
        for target in targets:
            temporary = stack.enter_context(atomic_write(target))
            file = stack.enter_context(ParquetBlocks(temporary, metadata, target))
            tables[target] = WeightsFile(file, metadata, scale_factors, direct=direct)
        for block, is_last in with_last(blocks):
            jets = block.jets
            chosen = is_leading(jets, leading) if leading else None
            selection = Selection(options["tags"], chosen, kept)
            rows = events.take_for(jets, is_last) if events else None
            for target, table in tables.items():
                table.write(jets, block.predictions[target], selection, rows)
        tightest = blocks.points[-1]
        selected = f"p_tag_ge_{options['tags']}" + (f"_{tightest}" if tightest else "")
        for target, table in tables.items():
            worth = table.finish()[selected]
            if scale_factors:
                log.info("%s: %s", target, table.describe())
            log.info("%s: %d events; %.1f effective in %s", target, table.n_events, worth, selected)
