"""Measure what the networks of one repeated training sample say, and how sure they are."""

from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.failures import without_failed
from truthtag.statistics.distributions import Distribution
from truthtag.studies.repeated_fits import Judge
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        judge = Judge(
            read_jets(snakemake.input.sample),
            read_frame(snakemake.input.domain, ("in_domain",))["in_domain"].to_numpy(),
            [Distribution.from_options(*item) for item in params.distributions.items()],
            params.flavours,
            params.minimum_events,
        )
        paths, failed = without_failed(list(snakemake.input.networks))
        for failure in failed.values():
            log.warning("left out: %s", failure)
        networks = Ensemble.load(paths, device=params.device)
        sample = int(snakemake.wildcards.part)
        measured = judge.measure(snakemake.wildcards.estimator, networks, sample)
        for what, table in measured._asdict().items():
            write_frame(table, snakemake.output[what])
        log.info("%d histogram bins", len(measured.histograms))
