"""Progress of a long step, as lines of a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["Progress", "clock"]


class Progress:
    """Log how far a long step is, how fast, and how long it will take, not too often.

    Args:
        logger: Where to write.
        total: All there is to do.
        unit: What is counted.
        done: What was done before, in an earlier run.
        every: Least time between two lines [s].
        now: The clock.

    Example:
        >>> lines, ticks = [], iter([0.0, 4.0])
        >>> class Log:
        ...     info = staticmethod(lambda text, *values: lines.append(text % values))
        >>> Progress(Log, total=100, unit="events", every=1.0, now=lambda: next(ticks)).add(20)
        >>> lines
        ['20% of 100 events, 5.0 events/s, 0:16 left']
    """

    def __init__(
        self,
        logger: logging.Logger,
        total: int,
        unit: str,
        done: int = 0,
        every: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.logger = logger
        self.total = total
        self.unit = unit
        self.every = every
        self.now = now
        self.done = done
        self.before = done
        self.started = now()
        self.last = self.started

    def add(self, count: int) -> None:
        """Say that so much more is done."""
        self.done += count
        moment = self.now()
        if moment - self.last < self.every:
            return
        self.last = moment
        rate = (self.done - self.before) / (moment - self.started)
        left = clock((self.total - self.done) / rate) if rate > 0 else "?"
        self.logger.info(
            "%.0f%% of %d %s, %.1f %s/s, %s left",
            100 * self.done / self.total,
            self.total,
            self.unit,
            rate,
            self.unit,
            left,
        )


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are some.

    Example:
        >>> clock(75.0)
        '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
