"""The additive estimator: fitted in seconds, stored as a table, replicas drawn from its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.training_blocks import Blocks, as_blocks, labels_of
from truthtag.errors import DataError
from truthtag.estimators.additive.draws import chain, root_of, shared_by_points
from truthtag.estimators.additive.events import TaggedEvents
from truthtag.estimators.additive.fitting import fit_model
from truthtag.estimators.additive.likelihood import efficiency_of
from truthtag.estimators.additive.options import AdditiveOptions, Link
from truthtag.estimators.additive.structure import Coefficient, Structure
from truthtag.estimators.additive.variables import column_of
from truthtag.estimators.bins import flavour_index, warn_of_equal_tags, with_unlearned
from truthtag.estimators.counts import check_positive_sum
from truthtag.estimators.protocol import ResampledOptions
from truthtag.estimators.table_file import PointwiseEstimator, StoredEstimator, TableEstimator
from truthtag.seeds import Seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AdditiveFit"]

COVARIANCE = "covariance"
"""The column whose entries are the rows of the covariance; empty for drawn replicas."""

COLUMNS = (*Coefficient._fields, "value", "error", "penalty", "effective", COVARIANCE)
"""Columns of its table, a row per coefficient."""


@dataclass(frozen=True, eq=False)
class AdditiveFit(TableEstimator):
    r"""A sum of smooth functions of the jet and of its neighbours.

    .. math:: \log\epsilon_i = s_{f_i}(p_T) + s_{f_i}(\eta) + r_{f_i}(p_T, \eta)
        + \sum_{j \ne i} g_{f_i f_j}(\Delta R_{ij})

    with the default terms: the form of Eq. 2 with every function free, and nothing else that it
    could learn. An efficiency above 0.95 approaches 1, which a product may exceed: see
    :func:`~truthtag.estimators.additive.likelihood.efficiency_of`. Functions are cubic splines with
    a penalty on their roughness, whose weights the tags choose, see
    :func:`~truthtag.estimators.additive.fitting.fit_model`. Outside the range of the training jets
    a function keeps the value that it has at the end.

    The errors are analytic: replicas are drawn from the covariance of the coefficients.

    Source: Eilers and Marx, doi 10.1214/ss/1038425655; Wood, Generalized Additive Models (2017),
    doi 10.1201/9781315370279.

    Args:
        structure: The terms, and the flavours that were learned.
        values: The coefficients, shape (n,).
        link: What the terms add up to: ``log`` or ``logit`` of the efficiency.
        covariance: Of the coefficients, shape (n, n); None for a replica.
        ridge: Weight of the penalty on the square of each coefficient, shape (n,).
        effective: How far the tags determine each coefficient, 0 to 1, shape (n,); the sum is the
            effective number of parameters.
        unlearned: Flavours that no training jet has.
    """

    structure: Structure
    values: FloatArray
    link: Link
    covariance: FloatArray | None
    ridge: FloatArray
    effective: FloatArray
    unlearned: tuple[int, ...] = ()
    options_type: ClassVar[type[ResampledOptions]] = AdditiveOptions
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    streams: ClassVar[bool] = True
    engine_of: ClassVar[str] = "truthtag.estimators.additive.engine:engine_of"

    @classmethod
    def fit(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,  # noqa: ARG003
        options: AdditiveOptions,
        seed: Seed,  # noqa: ARG003
    ) -> Self:
        """Fit the functions to the tags of a sample.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: Terms, variables, link and weights.
            seed: Not used.

        Raises:
            DataError: The sample has no tags, no jets, or lacks a column, its weights do not sum to
                more than 0, or the fit does not converge.
        """
        events = TaggedEvents(as_blocks(train), options.weights)
        census = events.census(_columns_of(options))
        warn_of_equal_tags(census.n_tagged, census.n_jets)
        if not census.n_jets:
            msg = "the sample has no jets; a fit needs some. Give it a sample that has jets."
            raise DataError(msg)
        check_positive_sum(census.weight, census.absolute)
        stated = labels_of(events.blocks).flavours or census.flavours
        unlearned = tuple(one for one in stated if one not in census.flavours)
        flavours = [one for one in stated if one not in unlearned]
        structure = Structure.for_sample(events.blocks, census.ends, flavours, options)
        found = fit_model(
            structure, events, census, options.link, options.max_steps, options.jets_in_memory
        )
        return cls(
            structure,
            found.values,
            options.link,
            found.covariance,
            found.ridge,
            found.effective,
            unlearned,
        )

    @classmethod
    def replicas(
        cls,
        train: Jets | Blocks,
        validation: Jets | Blocks,
        options: AdditiveOptions,
        count: int,
        seed: Seed,
    ) -> Sequence[StoredEstimator]:
        """Fit once, and draw replicas from the covariance; see :meth:`drawn`.

        With several working points, replicas of one correlate with those of the next as the tags
        do, see :func:`~truthtag.estimators.additive.draws.shared_by_points`.

        Args:
            train: A tagged sample.
            validation: Not used.
            options: Terms, variables, link and weights.
            count: Number of replicas; the first of more are the same.
            seed: Names the random stream.

        Raises:
            DataError: As :meth:`fit`.
        """
        fitted: AdditiveFit | PointwiseEstimator = cls.fit(train, validation, options, seed)
        if isinstance(fitted, AdditiveFit):
            return fitted.drawn(count, seed)
        fits = [fit for fit in fitted.members if isinstance(fit, AdditiveFit)]
        structure = fits[0].structure
        shared = [
            np.array([by_flavour[one.flavour] for one in structure.coefficients])
            for by_flavour in shared_by_points(as_blocks(train), structure.flavours)
        ]
        roots = [root_of(fit._known_covariance()) for fit in fits]
        replicas = []
        for number in range(count):
            normal = chain((*seed, number), len(structure.coefficients), shared)
            moved = zip(fits, roots, normal, strict=True)
            members = tuple(fit._moved(root @ one) for fit, root, one in moved)
            replicas.append(PointwiseEstimator(fitted.points, members))
        return replicas

    def drawn(self, count: int, seed: Seed) -> list[Self]:
        """Draw replicas: coefficients from a normal distribution with their covariance.

        Args:
            count: Number of replicas; the first of more are the same.
            seed: Names the random streams: replica k has the stream ``(*seed, k)``.

        Raises:
            DataError: This is a replica itself.
        """
        root = root_of(self._known_covariance())
        replicas = []
        for number in range(count):
            (normal,) = chain((*seed, number), len(self.values), ())
            replicas.append(self._moved(root @ normal))
        return replicas

    def _known_covariance(self) -> FloatArray:
        if self.covariance is None:
            msg = "a replica has no covariance to draw from; draw from the fit itself"
            raise DataError(msg)
        return self.covariance

    def _moved(self, by: FloatArray) -> Self:
        return replace(self, values=self.values + by, covariance=None)

    def terms(self, jets: Jets, values: FloatArray | None = None) -> FloatArray:
        """Return the sum of the terms of each jet, shape (n_jets,).

        Args:
            jets: The jets.
            values: Other coefficients, shape (n,); or several sets of them, shape (m, n), for which
                the shape is (m, n_jets).

        Raises:
            DataError: A jet has a flavour that the fit does not know, or the jets lack a column.
        """
        flavour_index(self.flavours, jets)
        values = self.values if values is None else values
        total = np.zeros((*values.shape[:-1], jets.n_jets))
        for flavour, rows, columns in self.structure.design(jets):
            own = self.structure.selector(flavour) @ values.T
            total[..., rows] = (columns.astype(np.float64) @ own).T
        return total

    def of_total(self, total: FloatArray, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Args:
            total: The sum of its terms, shape (n_jets,).
            jets: The jets.
        """
        return with_unlearned(efficiency_of(total, self.link), self.unlearned, jets)

    def efficiency(self, jets: Jets) -> FloatArray:
        """Return the efficiency of each jet, shape (n_jets,).

        Raises:
            DataError: A jet has a flavour that the fit does not know, or the jets lack a column.
        """
        return self.of_total(self.terms(jets), jets)

    @property
    def flavours(self) -> tuple[int, ...]:
        """Hadron flavours that it knows, rising, also those that nothing was learned of."""
        return tuple(sorted((*self.structure.flavours, *self.unlearned)))

    @property
    def n_effective(self) -> float:
        """Effective number of parameters."""
        return float(self.effective.sum())

    def _by_penalty(self) -> dict[str, dict[str, float]]:
        """Return the weight of each penalty, and the effective parameters of its functions."""
        found = {}
        for penalty in self.structure.penalties:
            first = penalty.which[0]
            effective = float(self.effective[penalty.which].sum())
            found[penalty.name] = {
                "weight": float(self.ridge[first]),
                "effective_parameters": effective,
            }
        return found

    def describe(self) -> str:
        """Return the effective number of parameters, and how terms share them."""
        by_penalty = self._by_penalty().items()
        used = [f"{name} {one['effective_parameters']:.1f}" for name, one in by_penalty]
        return f"{self.n_effective:.1f} effective parameters ({'; '.join(used)})"

    @property
    def notes(self) -> dict[str, Any]:
        """The weights of the penalties, and the effective parameters."""
        return {"effective_parameters": self.n_effective, "penalties": self._by_penalty()}

    def to_frame(self) -> pd.DataFrame:
        """Return a row per coefficient, with its row of the covariance, empty for a replica."""
        import pandas as pd

        coefficients = self.structure.coefficients
        frame = pd.DataFrame(coefficients, columns=list(Coefficient._fields))
        frame = frame.astype({"flavour": np.int16, "neighbour": np.int16, "function": np.int32})
        known = self.covariance
        size = len(self.values)
        frame["value"] = self.values
        frame["error"] = np.full(size, np.nan) if known is None else np.sqrt(np.diag(known))
        frame["penalty"] = self.ridge
        frame["effective"] = self.effective
        frame[COVARIANCE] = list(np.empty((size, 0)) if known is None else known)
        return frame

    @property
    def settings(self) -> dict[str, Any]:
        """The terms with their bases, the link, and the flavours that nothing was learned of."""
        settings: dict[str, Any] = {"structure": self.structure.to_settings(), "link": self.link}
        if self.unlearned:
            settings["unlearned"] = list(self.unlearned)
        return settings

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **settings: Any) -> Self:
        """Rebuild a fit from its table and settings.

        Raises:
            DataError: A coefficient is missing, or not finite.
        """
        structure = Structure.from_settings(settings["structure"])
        stored = list(frame[list(Coefficient._fields)].itertuples(index=False, name=None))
        wanted = [tuple(one) for one in structure.coefficients]
        if stored != wanted:
            msg = f"its {len(stored)} rows are not the {len(wanted)} coefficients of its terms"
            raise DataError(msg)
        values, ridge, effective = (
            frame[name].to_numpy(dtype=np.float64) for name in ("value", "penalty", "effective")
        )
        covariance = _covariance_of(frame)
        numbers = [values, ridge, effective, *([] if covariance is None else [covariance])]
        if not all(np.isfinite(one).all() for one in numbers):
            msg = "a coefficient, or what belongs to it, is not finite"
            raise DataError(msg)
        unlearned = tuple(int(one) for one in settings.get("unlearned", ()))
        link = settings["link"]
        return cls(structure, values, link, covariance, ridge, effective, unlearned)


def _columns_of(options: AdditiveOptions) -> list[str]:
    """Return the columns from end to end of which functions can have their knots."""
    columns = [column_of(name) for term in options.terms for name in term.variables]
    return [name for name in dict.fromkeys(columns) if name is not None]


def _covariance_of(frame: pd.DataFrame) -> FloatArray | None:
    """Return the covariance that a table holds, a row in each of its rows; None for a replica.

    Raises:
        DataError: It is no square.
    """
    rows = [np.asarray(row, dtype=np.float64) for row in frame[COVARIANCE]]
    if all(row.size == 0 for row in rows):
        return None
    if any(row.shape != (len(frame),) for row in rows):
        msg = f"its covariance has rows of other lengths than {len(frame)}"
        raise DataError(msg)
    return np.array(rows)
