"""An ONNX file of ours as an efficiency. Neither torch nor the networks are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from truthtag.arrays import AnyArray, BoolArray, FloatArray
from truthtag.data.columns import UNITS
from truthtag.data.jets import Jets
from truthtag.errors import DataError
from truthtag.estimators.network.onnx_checks import read_content, read_model
from truthtag.estimators.network.onnx_content import OnnxContent
from truthtag.estimators.network.options import FEATURES
from truthtag.estimators.network.runtime import chunks, open_session, require_onnx

__all__ = ["OnnxEfficiency", "unit_factor"]

PAIRS_AT_ONCE = 8_000
"""Ordered pairs of jets, times networks, that are predicted at once."""

REMEDY = "Export the networks again, or give jets that have what the file needs."


def unit_factor(name: str, unit: str) -> float | None:
    """Return by what values of our jets are multiplied to have another unit.

    Args:
        name: A column of the jets.
        unit: The unit that is wanted.

    Returns:
        The factor, None where there is none.

    Example:
        >>> unit_factor("pt", "MeV"), unit_factor("pt", "rad")
        (1000.0, None)
    """
    ours = UNITS.get(name, "")
    if unit == ours:
        return 1.0
    return 1000.0 if (ours, unit) == ("GeV", "MeV") else None


class OnnxEfficiency:
    """The efficiency that a file of :func:`truthtag.exports.onnx_file.export_onnx` gives.

    It is computed by onnxruntime on one thread, events of one number of jets together; a file for
    Athena takes one event at a time.

    Args:
        model: An ``onnx.ModelProto``.
        path: Where it comes from, for errors.

    Attributes:
        content: What the file says of itself.
        path: Where it comes from.

    Raises:
        DataError: The model does not say what its inputs mean, wants a unit that is not known, or
            cannot be computed.
    """

    def __init__(self, model: Any, path: str | Path) -> None:
        self.content: OnnxContent = read_content(model, path)
        self.path = path
        self._require_units()
        try:
            self._session = open_session(model.SerializeToString())
        except Exception as error:
            # onnxruntime has errors of many kinds, none of them public.
            reason = " ".join(str(error).split())[:200]
            msg = f"{path}: onnxruntime cannot compute it ({reason}). {REMEDY}"
            raise DataError(msg) from error

    @classmethod
    def load(cls, path: str | Path) -> OnnxEfficiency:
        """Read a file. Nothing in it is executed but its products and sums.

        Raises:
            ConfigError: onnx or onnxruntime is not installed.
            DataError: The file is missing, no ONNX file, foreign, of another version, hostile or
                damaged.
        """
        require_onnx("reading an ONNX file")
        return cls(read_model(path), path)

    @property
    def features(self) -> tuple[str, ...]:
        """What the file takes of each jet, in its order."""
        return self.content.features

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each feature, as the file takes it."""
        return self.content.units

    @property
    def flavours(self) -> tuple[int, ...]:
        """Hadron flavours that the networks know."""
        return self.content.flavours

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the working points, the loosest first; empty, or one, for a single point."""
        return self.content.working_points

    @property
    def n_points(self) -> int:
        """Number of working points, at least 1."""
        return max(1, len(self.points))

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of the training sample, in units of the file, where known."""
        return dict(self.content.ranges)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet.

        Args:
            jets: Any number of events of any number of jets.

        Returns:
            Shape (n_jets,), or (n_jets, n_points) where there are several working points.

        Raises:
            DataError: The jets lack a feature, or a value is not finite or of a flavour or category
                that the networks do not know; or an efficiency is not finite.
        """
        return self._without_single_point(self._outputs(jets)[0])

    def with_spread(self, jets: Jets) -> tuple[FloatArray, FloatArray]:
        """Return the efficiency of each jet, and its standard deviation over the networks.

        Returns:
            Two arrays as of :meth:`efficiency`; of one network, the second is 0.

        Raises:
            DataError: As of :meth:`efficiency`, or the file is one for Athena, which has no spread.
        """
        if self.content.layout == "athena":
            msg = (
                f"{self.path}: is laid out for Athena, which has no place for the spread. "
                "Export the networks with the layout 'truthtag'."
            )
            raise DataError(msg)
        eff, spread = self._outputs(jets)
        return self._without_single_point(eff), self._without_single_point(spread)

    def describe(self) -> str:
        """Return a few words for the log."""
        text = f"ONNX file of {self.content.networks} networks, features {', '.join(self.features)}"
        if self.n_points > 1:
            text += f", working points {', '.join(self.points)}"
        return text

    # ---- computing

    def _outputs(self, jets: Jets) -> FloatArray:
        """Return efficiency and spread, shape (2, n_jets, n_points)."""
        rows = self._rows(jets)
        found = np.zeros((2, jets.n_jets, self.n_points))
        athena = self.content.layout == "athena"
        for index in chunks(jets, 0 if athena else PAIRS_AT_ONCE // self.content.networks):
            outputs = self._session.run(None, {"jets": rows[index]})
            if athena:
                found[0, index.ravel()] = _efficiencies_of_bins(outputs[0][0], self.n_points)
                continue
            for of_output, values in zip(found, outputs, strict=True):
                of_output[index.ravel()] = values.reshape(-1, self.n_points)
        # The exponential of single precision need not fall from point to point in its last digit.
        np.minimum.accumulate(found[0], axis=1, out=found[0])
        self._require_finite(found[0], jets)
        return found

    def _without_single_point(self, values: FloatArray) -> FloatArray:
        return values if self.n_points > 1 else values[:, 0]

    def _rows(self, jets: Jets) -> FloatArray:
        """Return what the file takes of each jet, float32, shape (n_jets, n_features)."""
        known = f"{self.path}: the networks know the flavours"
        jets.require_flavours(self.flavours, known, "Train on a sample that has this flavour")
        columns = []
        for name, unit in zip(self.features, self.units, strict=True):
            values = self._column(jets, name)
            factor = np.float32(unit_factor(name, unit) or 1.0)
            columns.append(values.astype(np.float32) * factor)
        return np.stack(columns, axis=-1)

    def _column(self, jets: Jets, name: str) -> AnyArray:
        """Return one column of the jets, its values such as the networks know."""
        if name not in (*FEATURES, "mass", *jets.further):
            present = ", ".join((*FEATURES, "mass", *jets.further))
            msg = (
                f"{self.path}: takes the feature {name!r} of each jet, and these jets lack it; "
                f"there are {present}. {REMEDY}"
            )
            raise DataError(msg)
        values = jets.per_jet(name)
        known = self.content.categories.get(name)
        if known is not None:
            listed = ", ".join(map(str, known))
            _refuse(jets, name, values, ~np.isin(values, known), f"the networks know {listed}")
        _refuse(jets, name, values, ~np.isfinite(values), "it must be finite")
        return values

    # ---- refusing

    def _require_units(self) -> None:
        """Refuse a file that wants a unit into which ours cannot be turned."""
        for name, unit in zip(self.features, self.units, strict=True):
            if unit_factor(name, unit) is None:
                ours = UNITS.get(name, "")
                msg = (
                    f"{self.path}: takes the feature {name!r} in {unit!r}, and jets of truthtag "
                    f"have it in {ours or 'a unit without a name'!r}. {REMEDY}"
                )
                raise DataError(msg)

    def _require_finite(self, eff: FloatArray, jets: Jets) -> None:
        wrong = np.asarray(~np.isfinite(eff).all(axis=1))
        rule = f"{self.path} gives this jet no finite efficiency: it is far from all training jets"
        _refuse(jets, "pt", jets.pt, wrong, rule)


def _refuse(jets: Jets, name: str, values: AnyArray, bad: BoolArray, rule: str) -> None:
    """Refuse jets, naming the first of them and its value of a column."""
    if bad.any():
        row = int(np.argmax(bad))
        event = jets.per_jet("event")[row]
        msg = (
            f"column {name!r} is {values[row]} in row {row} (event {event}), {int(bad.sum())} such "
            f"rows: {rule}. Correct the value, or drop such jets."
        )
        raise DataError(msg)


def _efficiencies_of_bins(bins: FloatArray, n_points: int) -> FloatArray:
    """Return efficiencies at each point from tag bins, the untagged one first.

    Args:
        bins: Probabilities, shape (n_jets, n_bins).
        n_points: Number of working points: 1, or as many as bins of tagged jets.

    Returns:
        Shape (n_jets, n_points).
    """
    if n_points == 1:
        return bins[:, -1:]
    from_tightest = np.cumsum(bins[:, :0:-1].astype(np.float64), axis=1)
    return from_tightest[:, ::-1]
