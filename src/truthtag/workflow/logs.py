"""Logs of jobs: plain lines in a file.

Errors that a user can put right are one line; faults of the program have their traceback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from truthtag.errors import TruthtagError
from truthtag.progress import clock

__all__ = ["job_log"]


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
