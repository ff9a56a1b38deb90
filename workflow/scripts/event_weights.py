"""Turn the efficiencies of the jets of a sample into weights of its events."""

from truthtag.data.files import read_frames, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import points_of, read_prediction
from truthtag.weights.events import weights_table
from truthtag.weights.sample_weights import Selection, sample_weights
from truthtag.weights.scale_factors import ScaleFactors
from truthtag.weights.tag_counts import is_leading
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        options = snakemake.params.options
        flavours = snakemake.params.flavours
        jets = read_jets(snakemake.input.sample)
        points = points_of(jets)
        # Only samples that were read have tables of all their events.
        files = snakemake.input.get("events")
        events = read_frames(files) if files else None
        leading = options.get("leading")
        chosen = is_leading(jets, leading) if leading else None
        kept = tuple(flavours[name] for name in options["keep_tags_of"])
        selection = Selection(options["tags"], chosen, kept)
        stated = options.get("scale_factors")
        scale_factors = None
        if stated:
            scale_factors = ScaleFactors.from_options(stated, flavours, jets.labels.points)
        direct = bool(stated and stated["direct"])
        for source, target in zip(snakemake.input.predictions, snakemake.output, strict=True):
            prediction = read_prediction(source).aligned_to(jets)
            eff = prediction.at_points_of(jets)
            weights = sample_weights(jets, eff, selection, scale_factors, direct=direct)
            table, effective = weights_table(jets, weights.counts, events, weights.factors)
            metadata = {"options": options, "effective_events": effective, "versions": versions()}
            if scale_factors:
                metadata["scale_factors"] = {**scale_factors.provenance, **weights.notes}
                log.info("%s: %s", target, weights.describe())
            write_frame(table, target, metadata)
            selected = f"p_tag_ge_{options['tags']}" + (f"_{points[-1]}" if points[-1] else "")
            worth = effective[selected]
            log.info("%s: %d events; %.1f effective in %s", target, len(table), worth, selected)
