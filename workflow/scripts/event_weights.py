"""Turn the efficiencies of the jets of a sample into weights of its events."""

from truthtag.data.files import read_frames, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import points_of, read_prediction
from truthtag.weights.events import hybrid, weights_table
from truthtag.weights.tag_counts import is_leading, tag_counts
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        options = snakemake.params.options
        jets = read_jets(snakemake.input.sample)
        # Only samples that were read have tables of all their events.
        files = snakemake.input.get("events")
        events = read_frames(files) if files else None
        leading = options.get("leading")
        chosen = is_leading(jets, leading) if leading else None
        kept = [snakemake.params.flavours[name] for name in options["keep_tags_of"]]
        for source, target in zip(snakemake.input.predictions, snakemake.output, strict=True):
            prediction = read_prediction(source).aligned_to(jets)
            counts = {}
            for point in points_of(jets):
                eff = prediction.of_point(jets, point).values
                if kept:
                    eff = hybrid(jets.at_point(point), eff, kept)
                counts[point or ""] = tag_counts(jets, eff, options["tags"], chosen)
            table, effective = weights_table(jets, counts, events)
            metadata = {"options": options, "effective_events": effective, "versions": versions()}
            write_frame(table, target, metadata)
            selection, count = list(effective.items())[-1]
            log.info("%s: %d events; %.1f effective in %s", target, len(table), count, selection)
