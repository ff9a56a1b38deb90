"""Logs of jobs: plain lines in a file, and progress with a rate.

Errors that a user can put right are one line; faults of the program have their traceback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from truthtag.errors import TruthtagError

__all__ = ["Progress", "clock", "job_log"]


@contextmanager
def job_log(path: str | Path) -> Iterator[logging.Logger]:
    """Log to a file while the block runs, and turn errors of the user into one plain message.

    Args:
        path: The log file.

    Yields:
        The logger.

    Raises:
        SystemExit: A :class:`TruthtagError` ended the block; its text is in the log.
    """
    logger = logging.getLogger("truthtag")
    logger.setLevel(logging.INFO)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w")
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    logger.addHandler(handler)
    started = time.monotonic()
    try:
        yield logger
        logger.info("done in %s", clock(time.monotonic() - started))
    except TruthtagError as error:
        logger.error("%s", error)  # noqa: TRY400 - a traceback would hide it
        raise SystemExit(1) from None
    except Exception:
        logger.exception("this is a fault of the program, not of its input")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


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
        share = 100 * self.done / self.total
        self.logger.info(
            "%.0f%% of %d %s, %.1f %s/s, %s left",
            share,
            self.total,
            self.unit,
            rate,
            self.unit,
            left,
        )


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
