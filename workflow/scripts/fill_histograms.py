"""Fill the closure histograms of one distribution, directly and weighted by every efficiency."""

from truthtag.data.files import read_csv, write_frame
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.statistics.distributions import Distribution, fill_in_blocks
from truthtag.statistics.spread import scales_by_name
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, files = snakemake.params, snakemake.input
        blocks = SampleBlocks(files.sample, params.predictions, files.domain)
        distribution = Distribution.from_options(snakemake.wildcards.distribution, params.options)
        scales = scales_by_name(
            read_csv(files.scales), distribution.working_point, distribution.below
        )
        frame = fill_in_blocks(distribution, blocks, params.flavours, scales)
        write_frame(frame, snakemake.output[0], {"distribution": params.options})
        log.info("%s: %d rows", snakemake.wildcards.distribution, len(frame))
