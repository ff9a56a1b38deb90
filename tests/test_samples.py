"""What samples hold, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.statistics.samples import sample_table

FLAVOURS = {"b": 5, "light": 0}


@pytest.fixture
def three() -> Jets:
    """Two events of three jets, one of a flavour without a name."""
    return make_jets(
        [2, 1],
        flavour=np.array([5, 4, 5]),
        eta=np.array([0.0, 3.0, -2.6]),
        weight=np.array([3.0, -1.0]),
        score=np.array([np.nan, np.nan, 0.5]),
        is_tagged=np.array([True, False, True]),
    )


def test_a_sample_by_hand(three: Jets) -> None:
    table = sample_table(three, FLAVOURS)
    assert list(table) == [
        *("flavour", "n_events", "events_without_jets", "sum_of_weights", "effective_events"),
        *("negative_weights", "jets", "unscored_inside", "unscored_outside"),
        *("tagged_fraction", "weighted_fraction"),
    ]
    rows = table.set_index("flavour")
    assert rows.loc["all"].tolist() == pytest.approx([2, 0, 2, 0.4, 0.5, 3, 1, 1, 2 / 3, 0.4])
    b = rows.loc["b"]
    assert (b["n_events"], b["jets"], b["tagged_fraction"]) == (2, 2, 1)
    assert (b["unscored_inside"], b["unscored_outside"]) == (1, 0)
    light = rows.loc["light"]
    assert (light["n_events"], light["jets"], light["effective_events"]) == (0, 0, 0)
    assert light[["negative_weights", "tagged_fraction", "weighted_fraction"]].isna().all()
    assert rows["events_without_jets"].isna().tolist() == [False, True, True]


def test_events_without_jets_and_counts_of_the_reader(three: Jets) -> None:
    events = pd.DataFrame({"weight": [3.0, -1.0, 2.0], "n_jets": [2, 1, 0]})
    counts = [
        {"flavour": 5, "abs_eta": "below 2.5", "unscored": 4},
        {"flavour": 5, "abs_eta": "from 2.5", "unscored": 3},
        {"flavour": 0, "abs_eta": "1.5 to 3", "unscored": 2},
        {"flavour": 4, "abs_eta": "1 to 2.5", "unscored": 10},
    ]
    rows = sample_table(three, FLAVOURS, events, counts).set_index("flavour")
    assert rows.loc["all", ["n_events", "events_without_jets", "sum_of_weights"]].tolist() == [
        *(3, 1, 4.0),
    ]
    assert rows.loc["all", "effective_events"] == pytest.approx(16 / 14)
    assert rows["unscored_inside"].tolist() == [14, 4, 0]
    assert rows["unscored_outside"].tolist() == [5, 3, 2]
    with pytest.raises(DataError, match="column 'n_jets' is missing; it has weight"):
        sample_table(three, FLAVOURS, events[["weight"]])


def test_fractions_at_every_working_point_and_without_tags(three: Jets) -> None:
    labels = Labels(points=("loose", "tight"))
    tags = {"is_tagged": None, "tag_bin": np.array([2, 1, 0]), "efficiency_true": None}
    two = make_jets([2, 1], **tags, labels=labels, weight=np.array([3.0, -1.0]))
    row = sample_table(two, FLAVOURS).iloc[0]
    assert row["tagged_fraction_loose"] == pytest.approx(2 / 3)
    assert row["weighted_fraction_loose"] == pytest.approx(6 / 5)
    assert row["tagged_fraction_tight"] == pytest.approx(1 / 3)
    bare = sample_table(three.with_columns(is_tagged=None, score=None), FLAVOURS)
    assert "tagged_fraction" not in bare
    assert bare["unscored_inside"].isna().all()
