"""Tagging efficiencies that know the whole event, as event weights that can be trusted.

The names of :data:`__all__` are the public ones; each is loaded when it is first used, so that
``import truthtag`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truthtag.data.awkward_arrays import from_awkward, to_awkward
    from truthtag.data.jets import Jets, concatenate, read_jets, write_jets
    from truthtag.errors import ConfigError, DataError
    from truthtag.estimators.ensemble import Ensemble, load
    from truthtag.estimators.prediction_files import read_prediction
    from truthtag.estimators.predictions import Prediction, predict
    from truthtag.statistics.closure_tests import closure_test
    from truthtag.statistics.covariance import Histogram
    from truthtag.statistics.domain import Domain
    from truthtag.statistics.spread import inflate_spread
    from truthtag.weights.assignment import assign_tags
    from truthtag.weights.direct import direct_weights
    from truthtag.weights.events import hybrid
    from truthtag.weights.scale_factors import ScaleFactors, scaled
    from truthtag.weights.tag_counts import tag_counts

__all__ = [
    "ConfigError",
    "DataError",
    "Domain",
    "Ensemble",
    "Histogram",
    "Jets",
    "Prediction",
    "ScaleFactors",
    "assign_tags",
    "closure_test",
    "concatenate",
    "direct_weights",
    "from_awkward",
    "hybrid",
    "inflate_spread",
    "load",
    "predict",
    "read_jets",
    "read_prediction",
    "scaled",
    "tag_counts",
    "to_awkward",
    "write_jets",
]

__version__ = "0.2.0"

_MODULES = {
    "ConfigError": "errors",
    "DataError": "errors",
    "Domain": "statistics.domain",
    "Ensemble": "estimators.ensemble",
    "Histogram": "statistics.covariance",
    "Jets": "data.jets",
    "Prediction": "estimators.predictions",
    "ScaleFactors": "weights.scale_factors",
    "assign_tags": "weights.assignment",
    "closure_test": "statistics.closure_tests",
    "concatenate": "data.jets",
    "direct_weights": "weights.direct",
    "from_awkward": "data.awkward_arrays",
    "hybrid": "weights.events",
    "inflate_spread": "statistics.spread",
    "load": "estimators.ensemble",
    "predict": "estimators.predictions",
    "read_jets": "data.jets",
    "read_prediction": "estimators.prediction_files",
    "scaled": "weights.scale_factors",
    "tag_counts": "weights.tag_counts",
    "to_awkward": "data.awkward_arrays",
    "write_jets": "data.jets",
}
"""Where each public name is; a test compares it with the imports above."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
