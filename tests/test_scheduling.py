"""How often Snakemake looks for jobs to start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobRateLimiter
from snakemake.settings.types import MaxJobsPerTimespan

from truthtag.workflow.scheduling import look_when_jobs_end


@pytest.mark.parametrize(
    ("limit", "stays"),
    [("100/1s", False), ("6000/1m", False), ("99/1s", True), ("10/1m", True), ("1/1h", True)],
)
def test_only_a_limit_that_limits_nothing_is_lifted(limit: str, stays: bool) -> None:
    """The first is Snakemake's default."""
    limiter = JobRateLimiter(MaxJobsPerTimespan.parse_choice(limit))
    scheduler = SimpleNamespace(job_rate_limiter=limiter)
    look_when_jobs_end(scheduler)
    assert scheduler.job_rate_limiter is (limiter if stays else None)


@pytest.mark.parametrize("scheduler", [SimpleNamespace(job_rate_limiter=None), SimpleNamespace()])
def test_without_a_limit_nothing_is_lifted(scheduler: SimpleNamespace) -> None:
    before = vars(scheduler).copy()
    look_when_jobs_end(scheduler)
    assert vars(scheduler) == before
