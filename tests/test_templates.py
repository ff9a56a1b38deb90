"""Differences between efficiencies as templates: by hand, and where something is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from truthtag.errors import DataError
from truthtag.statistics.closure import ClosureHistogram, Entries
from truthtag.statistics.templates import (
    best_efficiencies,
    differences,
    shift_table,
    template_table,
)

MARKS = {"sample": "test", "distribution": "fig6", "title": "x", "panel": "all", "events": "all"}
LIKELIHOOD = pd.DataFrame(
    {
        "sample": "test",
        "efficiency": ["true", "best", "other", "map"],
        "log_loss": [0.1, 0.2, 0.3, 0.4],
    }
)


@pytest.fixture(scope="module")
def histograms() -> pd.DataFrame:
    """Four events of weight 1, two in each of two bins."""
    values = np.array([0.5, 0.5, 1.5, 1.5])
    probability = {
        "true": np.array([0.5, 0.5, 0.5, 0.5]),
        "best": np.array([0.5, 0.3, 0.2, 0.2]),
        "other": np.array([0.4, 0.2, 0.3, 0.3]),
        "map": np.array([0.1, 0.1, 0.1, 0.1]),
    }
    # Yields 0.5 and 0.7 by two replicas in the first bin, and 0.6 twice in the second.
    replicas = {"other": np.array([[0.3, 0.2, 0.3, 0.3], [0.5, 0.2, 0.3, 0.3]])}
    passed = np.array([True, False, False, True])
    entries = Entries(values, np.ones(4), passed, probability, replicas)
    filled = ClosureHistogram.fill(entries, np.array([0.0, 1.0, 2.0])).to_frame()
    return filled.assign(**MARKS, spread="corrected")


def test_templates_by_hand(histograms: pd.DataFrame) -> None:
    table = template_table(differences(histograms, LIKELIHOOD))
    assert list(table["efficiency"]) == ["other", "other", "map", "map"]
    assert set(table["best"]) == {"best"}
    other = table[table["efficiency"] == "other"]
    assert list(other["low"]) == [0, 1]
    assert other["yield"].to_numpy() == pytest.approx([0.6, 0.6])
    assert other["difference"].to_numpy() == pytest.approx([0.2, -0.2])
    assert other["uncertainty"].to_numpy() == pytest.approx([np.std([0.5, 0.7], ddof=1), 0.0])
    assert table.loc[table["efficiency"] == "map", "uncertainty"].isna().all()


def test_shifts_by_hand(histograms: pd.DataFrame) -> None:
    table = shift_table(differences(histograms, LIKELIHOOD)).set_index("efficiency")
    error = np.std([0.5, 0.7], ddof=1)
    assert table.loc["other", "shift"] == pytest.approx(0.0)
    assert table.loc["other", "uncertainty"] == pytest.approx(error / 1.2)
    assert table.loc["other", "largest"] == pytest.approx(0.2 / error)
    assert table.loc["map", "shift"] == pytest.approx((1.2 - 0.4) / 0.4)
    assert np.isnan(table.loc["map", "uncertainty"])


def test_the_sum_of_a_template_is_the_shift(histograms: pd.DataFrame) -> None:
    templates = template_table(differences(histograms, LIKELIHOOD)).groupby("efficiency")
    shifts = shift_table(differences(histograms, LIKELIHOOD)).set_index("efficiency")["shift"]
    sums = templates["difference"].sum() / templates["yield"].sum()
    assert sums.to_dict() == pytest.approx(shifts.to_dict())


def test_each_point_has_its_best_and_bins_that_of_the_loosest(histograms: pd.DataFrame) -> None:
    at_points = pd.concat(
        [
            LIKELIHOOD.assign(working_point="loose"),
            LIKELIHOOD.assign(working_point="tight", log_loss=[0.1, 0.4, 0.3, 0.2]),
        ]
    )
    assert best_efficiencies(at_points) == {
        ("test", ""): "best",
        ("test", "loose"): "best",
        ("test", "tight"): "map",
    }
    parts = [histograms.assign(working_point=point) for point in ("tight", "loose, not tight")]
    table = template_table(differences(pd.concat(parts), at_points))
    best = dict(zip(table["working_point"], table["best"], strict=True))
    assert best == {"tight": "map", "loose, not tight": "best"}


def test_a_sample_without_a_likelihood_is_refused(histograms: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"no row of the sample 'boson'.* Make both from the same"):
        shift_table(differences(histograms.assign(sample="boson"), LIKELIHOOD))


def test_the_best_alone_has_no_templates(histograms: pd.DataFrame) -> None:
    alone = histograms[histograms["filled_by"].isin(["direct", "true", "best"])]
    for function in (template_table, shift_table):
        table = function(differences(alone, LIKELIHOOD))
        assert table.empty
        assert list(table) == list(function(differences(histograms, LIKELIHOOD)))
