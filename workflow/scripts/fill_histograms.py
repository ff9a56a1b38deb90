"""Fill the closure histograms of one distribution, directly and weighted by every efficiency."""

from truthtag.data.files import read_csv, read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.predictions import read_prediction
from truthtag.statistics.distributions import Distribution, fill_distribution
from truthtag.statistics.spread import scales_by_name
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        jets = read_jets(snakemake.input.sample)
        predictions = {
            name: read_prediction(*files).aligned_to(jets)
            for name, files in params.predictions.items()
        }
        in_domain = read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy()
        distribution = Distribution.from_options(snakemake.wildcards.distribution, params.options)
        scales = scales_by_name(
            read_csv(snakemake.input.scales), distribution.working_point, distribution.below
        )
        frame = fill_distribution(
            distribution, jets, predictions, in_domain, params.flavours, scales
        )
        write_frame(frame, snakemake.output[0], {"distribution": params.options})
        log.info("%s: %d rows", snakemake.wildcards.distribution, len(frame))
