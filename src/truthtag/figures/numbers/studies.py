"""The numbers of studies: more training events, more training time, repeated training samples."""

from __future__ import annotations

import pandas as pd

from truthtag.data.files import rows_by
from truthtag.errors import DataError
from truthtag.figures.inputs import Inputs
from truthtag.studies.repeated_samples import repeated_errors
from truthtag.studies.training_cost import training_cost as cost_by_epoch
from truthtag.studies.training_cost import true_loss

__all__ = ["learning_curve", "repeated", "training_cost"]


def learning_curve(inputs: Inputs) -> pd.DataFrame:
    """Return the points of the learning curve, a row per efficiency, events and flavour."""
    return inputs.tables["learning_curve"].reset_index(drop=True)


def training_cost(inputs: Inputs) -> pd.DataFrame:
    """Set the losses of the networks above that of the truth against the time of training.

    Raises:
        DataError: The validation sample is missing, or has no tags or no true efficiencies.
    """
    if inputs.validation is None:
        msg = "the cost of training compares losses on the validation sample, which was not given"
        raise DataError(msg)
    histories = {}
    for network, of_seeds in inputs.histories.items():
        # Those of networks that failed have no rows.
        histories[network] = [history for history in of_seeds if len(history)]
    return cost_by_epoch(histories, true_loss(inputs.validation))


def repeated(inputs: Inputs) -> pd.DataFrame:
    """Compare the errors that replicas give with the scatter over repeated training samples.

    Returns:
        The rows of :func:`truthtag.studies.repeated_samples.repeated_errors`.
    """
    by_distribution = rows_by(inputs.tables["repeated"], "distribution")
    return pd.concat(map(repeated_errors, by_distribution.values()), ignore_index=True)
