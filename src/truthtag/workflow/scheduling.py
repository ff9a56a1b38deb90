"""How often Snakemake looks for jobs that it can start."""

from __future__ import annotations

from typing import Any

__all__ = ["look_when_jobs_end"]

USUAL_RATE = 100.0
"""Most jobs that Snakemake starts by default [1/s]: no limit in practice."""


def look_when_jobs_end(scheduler: Any) -> None:
    """Let Snakemake look for jobs to start when one has ended, and not on a timer as well.

    As long as the number of jobs per second is limited, Snakemake 9 looks again a second after each
    look. Each job that ends starts such a row of looks of its own, and none of them ever stops:
    after a hundred jobs it looks a hundred times a second, for two milliseconds and more each. Its
    default limit limits nothing here, so it is lifted; one that a user has set stays.

    Args:
        scheduler: The scheduler of a workflow that is about to start; another version's may have no
            such limit.
    """
    limit = getattr(scheduler, "job_rate_limiter", None)
    if limit is not None and limit.max_jobs >= USUAL_RATE * limit.timespan:
        scheduler.job_rate_limiter = None
