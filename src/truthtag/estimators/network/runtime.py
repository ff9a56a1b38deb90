"""Sessions of onnxruntime, and the chunks that they compute; torch is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from truthtag.arrays import IntArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError

__all__ = ["chunks", "has_onnx", "open_session", "require_onnx"]

PACKAGES = ("onnx", "onnxruntime")


def has_onnx() -> bool:
    """Return whether onnx and onnxruntime are installed."""
    return all(find_spec(package) is not None for package in PACKAGES)


def require_onnx(what: str) -> None:
    """Refuse to go on without onnx and onnxruntime.

    Args:
        what: What needs them: "reading an ONNX file", say.

    Raises:
        ConfigError: One of the two is not installed.
    """
    if not has_onnx():
        msg = f"{what} needs the packages onnx and onnxruntime: pip install truthtag[export]"
        raise ConfigError(msg)


def open_session(model: bytes) -> Any:
    """Return a session that computes a model, on the thread that calls it.

    With a single thread, results do not depend on the number of cores.

    Args:
        model: The content of an ONNX file that has no data in other files.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Errors are raised; warnings about the graph are nothing that a user could change.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def chunks(jets: Jets, pairs_at_once: int) -> Iterator[IntArray]:
    """Cut events into chunks of one number of jets and so many ordered pairs.

    Args:
        jets: The jets.
        pairs_at_once: Most pairs of a chunk; an event of more is a chunk of its own.

    Yields:
        Positions of the jets of each chunk, shape (n_events, n).

    Example:
        >>> jets = Jets.from_columns({**row, "event": np.array([7, 7, 9])})
        >>> [index.tolist() for index in chunks(jets, pairs_at_once=10)]
        [[[2]], [[0, 1]]]
    """
    for _, index in jets.by_multiplicity():
        n = index.shape[1]
        step = max(1, pairs_at_once // (n * max(n - 1, 1)))
        for first in range(0, len(index), step):
            yield index[first : first + step]
