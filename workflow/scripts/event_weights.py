"""Turn the efficiencies of the jets of a sample into weights of its events."""

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import read_prediction
from truthtag.weights.events import hybrid, weights_table
from truthtag.weights.tag_counts import is_leading, tag_counts
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        options = snakemake.params.options
        jets = read_jets(snakemake.input.sample)
        leading = options.get("leading")
        chosen = is_leading(jets, leading) if leading else None
        kept = [snakemake.params.flavours[name] for name in options["keep_tags_of"]]
        for source, target in zip(snakemake.input.predictions, snakemake.output, strict=True):
            eff = read_prediction(source).efficiency(jets)
            if kept:
                eff = hybrid(jets, eff, kept)
            counts = tag_counts(jets, eff, options["tags"], chosen)
            table, effective = weights_table(jets, counts)
            metadata = {"options": options, "effective_events": effective, "versions": versions()}
            write_frame(table, target, metadata)
            selection, events = list(effective.items())[-1]
            log.info("%s: %d events; %.1f effective in %s", target, len(table), events, selection)
