"""The learning curve: what more training events buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.predictions import predict
from truthtag.estimators.protocol import Efficiency
from truthtag.statistics.accuracy import excess_loss, summarise

__all__ = ["Point", "learning_table"]


@dataclass(frozen=True)
class Point:
    r"""A point of a learning curve: one efficiency, fitted to the first events of a sample.

    Where the p parameters of a function of the right form are fitted to N jets by maximum
    likelihood, and N is large, the regret has the expectation

    .. math:: p / (2 N)

    Source: Wilks, doi 10.1214/aoms/1177732360; Akaike, doi 10.1109/TAC.1974.1100705.

    Args:
        efficiency: Its name.
        events: Training events.
        train_jets: The jets of these events.
        seeds: Number of members of an ensemble; None for what is not one.
        parameters: Number of parameters p, where the form is that of the truth; None otherwise.

    Raises:
        DataError: A number is below 1.
    """

    efficiency: str
    events: int
    train_jets: int
    seeds: int | None = None
    parameters: int | None = None

    def __post_init__(self) -> None:
        for name in ("events", "train_jets", "seeds", "parameters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = (
                    f"learning curve: {name} of {self.efficiency!r} is {value}; "
                    "it must be 1 or more"
                )
                raise DataError(msg)

    def measure(
        self, members: Sequence[Efficiency], jets: Jets, flavours: Mapping[str, int]
    ) -> pd.DataFrame:
        """Measure the mean of the members on a sample, at the loosest working point.

        Args:
            members: The networks of an ensemble, or a map alone.
            jets: A tagged sample whose true efficiencies are known.
            flavours: Numbers of the hadron flavours, by name.

        Returns:
            The rows of :func:`truthtag.statistics.accuracy.summarise`, and in each ``events``,
            ``train_jets`` and ``seeds``; in the row of all jets also ``member_regret``, the mean
            regret of single members, and ``floor``, the regret to be expected of the fit
            [nats/jet].

        Raises:
            DataError: There is no member, or the sample has no tags or no true efficiencies.
        """
        at_loosest = jets.at_point()
        true = at_loosest.efficiency_true
        if true is None or not jets.has_tags:
            msg = (
                "a learning curve needs the columns 'efficiency_true' and 'is_tagged'; the sample "
                "lacks one of them"
            )
            raise DataError(msg)
        if not members:
            msg = f"learning curve: {self.efficiency!r} has no member to measure; fit at least one"
            raise DataError(msg)
        of_members = [predict(member, jets).of_point(jets).values for member in members]
        predictions = np.stack(of_members)
        chosen = np.ones(jets.n_jets, dtype=bool)
        mean = predictions.mean(axis=0)
        table = summarise(at_loosest, {self.efficiency: mean}, flavours, chosen)
        table.insert(0, "events", self.events)
        member_regret = np.nan
        if self.seeds is not None:
            regrets = [excess_loss(true, values).mean() for values in predictions]
            member_regret = float(np.mean(regrets))
        floor = np.nan
        if self.parameters is not None:
            floor = self.parameters / (2 * self.train_jets)
        of_all_jets = (table["flavour"] == "all").to_numpy()
        return table.assign(
            train_jets=self.train_jets,
            seeds=pd.array([self.seeds] * len(table), dtype="Int64"),
            member_regret=np.where(of_all_jets, member_regret, np.nan),
            floor=np.where(of_all_jets, floor, np.nan),
        )


def learning_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the regret of all jets [nats/jet].

    Args:
        numbers: Rows of :meth:`Point.measure` for all points.

    Returns:
        A row per number of training ``events``, a column per efficiency.

    Raises:
        DataError: A point is there twice.
    """
    rows = numbers[numbers["flavour"] == "all"]
    twice = rows.duplicated(["events", "efficiency"])
    if twice.any():
        first = rows[twice].iloc[0]
        msg = (
            f"learning curve: {first['efficiency']!r} with {first['events']} events is there twice;"
            " drop one"
        )
        raise DataError(msg)
    names = list(rows["efficiency"].unique())
    table = rows.pivot(index="events", columns="efficiency", values="regret")
    return table[names].reset_index().rename_axis(columns=None)
