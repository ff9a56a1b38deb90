"""The numbers of the learning curve and of the study of work, and their figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_figures import check_figure

from conftest import make_jets
from truthtag.accuracy import summarise
from truthtag.arrays import FloatArray
from truthtag.errors import DataError
from truthtag.jets import Jets
from truthtag.plots import DRAWINGS
from truthtag.plots.style import look_of
from truthtag.studies import Point, learning_table, true_loss, work
from truthtag.training import batch_loss

FLAVOURS = {"b": 5, "c": 4, "light": 0}
EIGHT = ("map", "smoothed", "delta_r", "fit", "mlp", "gnn", "gnn_geometric", "gnn_factorised")


class Constant:
    """One efficiency for every jet."""

    def __init__(self, value: float) -> None:
        self.value = value

    def efficiency(self, jets: Jets) -> FloatArray:
        return np.full(jets.n_jets, self.value)


@pytest.fixture
def halves() -> Jets:
    """Jets whose true efficiency is one half."""
    jets = make_jets([2, 3, 4])
    return jets.with_columns(efficiency_true=np.full(jets.n_jets, 0.5))


def test_a_point_measures_the_mean_of_the_members(halves: Jets) -> None:
    table = Point("gnn", 100, 390, seeds=2).measure([Constant(0.3), Constant(0.7)], halves, FLAVOURS)
    assert list(table["flavour"]) == ["all", "b", "c", "light"]
    assert set(table["events"]) == {100}
    assert set(table["train_jets"]) == {390}
    assert set(table["seeds"]) == {2}
    expected = summarise(halves, {"gnn": np.full(9, 0.5)}, FLAVOURS, np.ones(9, dtype=bool))
    pd.testing.assert_frame_equal(table[list(expected)], expected)
    assert table["regret"].iloc[0] == pytest.approx(0, abs=1e-12)
    # Each member is wrong, their mean is right.
    assert table["member_regret"].iloc[0] == pytest.approx(0.5 * np.log(0.25 / 0.21))
    assert table["member_regret"].iloc[1:].isna().all()
    assert table["floor"].isna().all()


def test_a_map_has_no_members_and_a_fit_has_a_floor(halves: Jets) -> None:
    of_map = Point("map", 100, 390).measure([Constant(0.3)], halves, FLAVOURS)
    assert of_map[["seeds", "member_regret", "floor"]].isna().all(axis=None)
    of_fit = Point("fit", 100, 390, parameters=18).measure([Constant(0.3)], halves, FLAVOURS)
    assert of_fit["floor"].iloc[0] == pytest.approx(18 / 780)
    assert of_fit["floor"].iloc[1:].isna().all()


def test_the_regret_of_a_fit_is_its_floor() -> None:
    """Tagged fractions of groups of jets, fitted many times: a parameter each, half a nat divided by the jets."""
    rng = np.random.default_rng(1)
    groups, jets, true = 6, 500, 0.3
    fitted = rng.binomial(jets, true, (4000, groups)) / jets
    regret = true * np.log(true / fitted) + (1 - true) * np.log((1 - true) / (1 - fitted))
    point = Point("fit", 1, groups * jets, parameters=groups)
    sample = make_jets([2])
    floor = point.measure([Constant(0.5)], sample, FLAVOURS)["floor"].iloc[0]
    assert regret.mean() == pytest.approx(floor, rel=0.03)


def test_the_table_shows_one_number_each(halves: Jets) -> None:
    points = [Point(name, events, 4 * events) for name in ("map", "delta_r") for events in (300, 100)]
    numbers = pd.concat([p.measure([Constant(0.1 + p.events / 1000)], halves, FLAVOURS) for p in points])
    table = learning_table(numbers)
    assert list(table) == ["events", "map", "delta_r"]
    assert table["events"].tolist() == [100, 300]
    assert table["map"].is_monotonic_decreasing
    assert (table["map"] == table["delta_r"]).all()


def test_the_loss_of_the_truth_is_that_of_a_network_that_knows_it() -> None:
    jets = make_jets([1, 2, 2, 5, 3, 5, 0])
    true = np.clip(jets.efficiency_true, 0.01, 0.99)
    jets = jets.with_columns(efficiency_true=true)
    logits, tags = torch.logit(torch.from_numpy(true)), torch.from_numpy(jets.is_tagged).double()
    buckets = list(jets.buckets())
    order = np.concatenate([bucket.jets.ravel() for bucket in buckets])
    loss = batch_loss(logits[order], tags[order], [bucket.jets.shape for bucket in buckets], 1.0)
    assert true_loss(jets) == pytest.approx(float(loss), rel=1e-12)


def test_the_loss_of_an_unknown_truth_is_refused() -> None:
    with pytest.raises(DataError, match="needs the columns 'efficiency_true' and 'is_tagged'"):
        true_loss(make_jets([2], efficiency_true=None))


def test_an_efficiency_of_one_or_zero_that_is_right_costs_nothing() -> None:
    jets = make_jets([2], efficiency_true=np.array([1.0, 0.0]), is_tagged=np.array([True, False]))
    assert true_loss(jets) == 0


def history(*rows: tuple[float, float]) -> pd.DataFrame:
    seconds, loss = zip(*rows, strict=True)
    return pd.DataFrame({"epoch": range(1, len(rows) + 1), "seconds": seconds, "validation_loss": loss})


def test_work_is_time_added_up_and_loss_above_the_truth() -> None:
    histories = {
        "two": [history((10, 0.5), (10, 0.45), (10, 0.4)), history((20, 0.6), (20, 0.55))],
        "one": [history((1, 0.7))],
    }
    table = work(histories, 0.4)
    assert table["network"].tolist() == ["two", "two", "one"]
    # The first stopped after three epochs, the second after two: what both reached counts.
    assert table["epoch"].tolist() == [1, 2, 1]
    assert table["seconds"].tolist() == [15, 30, 1]
    assert table["excess"].to_numpy() == pytest.approx([0.15, 0.1, 0.3])
    assert table["excess_std"].to_numpy()[:2] == pytest.approx(0.1 / np.sqrt(2))
    assert np.isnan(table["excess_std"].to_numpy()[2])
    assert table["seeds"].tolist() == [2, 2, 1]


def curve() -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "events": events,
            "efficiency": name,
            "flavour": flavour,
            "regret": (number + 1) / events,
            "seeds": 3 if number > 3 else None,
            "floor": 2 / events if name == "fit" else None,
        }
        for number, name in enumerate(EIGHT)
        for events in (1000, 10_000)
        for flavour in ("all", "b")
    ]
    return pd.DataFrame(rows)


def test_the_learning_curve_is_drawn(tmp_path: Path) -> None:
    figure = DRAWINGS["learning_curve"](curve(), ["b"])
    check_figure(figure, tmp_path / "learning_curve.png")
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text for text in texts if "expected" not in text] == list(EIGHT)
    assert sum("expected" in text for text in texts) == 1
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    without = curve()[lambda rows: rows["efficiency"] == "map"]
    check_figure(DRAWINGS["learning_curve"](without, ["b"]), tmp_path / "map.png")


def test_work_is_drawn_even_where_it_is_done(tmp_path: Path) -> None:
    """A dozen networks, one of which falls below the truth on the validation events."""
    names = [f"batch_{number}" for number in range(12)]
    table = work({name: [history((9, 0.6), (9, 0.41)), history((8, 0.7), (9, 0.42))] for name in names}, 0.4)
    table.loc[table.index[-1], "excess"] = -0.01
    figure = DRAWINGS["work"](table, ["b"])
    check_figure(figure, tmp_path / "work.png")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == names
    check_figure(DRAWINGS["work"](work({"one": [history((1, 0.7))]}, 0.4), ["b"]), tmp_path / "one.png")


def test_many_lines_look_different_and_keep_their_look() -> None:
    names = [f"n{number}" for number in range(20)]
    looks = [tuple(look.values()) for look in look_of(names).values()]
    assert len(set(looks)) == 20
    assert [tuple(look.values()) for look in look_of(names[:3]).values()] == looks[:3]
