"""Turn the efficiencies of the jets of a sample into weights of its events, for every efficiency."""

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import read_prediction
from truthtag.weights.tagging import hybrid, leading, tag_counts, weights_table
from truthtag.workflow.digests import versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        options = snakemake.params.options
        jets = read_jets(snakemake.input.sample)
        chosen = leading(jets, options["leading"]) if "leading" in options else None
        direct = [snakemake.params.flavours[name] for name in options["direct"]]
        for source, target in zip(snakemake.input.predictions, snakemake.output, strict=True):
            eff = read_prediction(source).efficiency(jets)
            kept = hybrid(jets, eff, direct) if direct else eff
            table, effective = weights_table(jets, tag_counts(jets, kept, options["tags"], chosen))
            metadata = {"options": options, "effective_events": effective, "versions": versions()}
            write_frame(table, target, metadata)
            *_, (selection, events) = effective.items()
            log.info(
                "%s: %d events; %.1f effective ones in %s", target, len(table), events, selection
            )
