"""The learning curve, the cost of training, repeated training samples: numbers and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_figures import check_figure, draw

from conftest import make_jets
from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import DataError
from truthtag.estimators.network.loss import batch_loss
from truthtag.figures.plots.style import look_of
from truthtag.statistics.accuracy import summarise
from truthtag.studies.learning_curve import Point, learning_table
from truthtag.studies.repeated_samples import repeated_covariance, repeated_errors
from truthtag.studies.training_cost import training_cost, true_loss

FLAVOURS = {"b": 5, "c": 4, "light": 0}
EIGHT = ("map", "smoothed", "delta_r", "fit", "mlp", "gnn", "gnn_geometric", "gnn_factorised")


class Constant:
    """One efficiency for every jet."""

    def __init__(self, value: float) -> None:
        self.value = value

    def efficiency(self, jets: Jets) -> FloatArray:
        return np.full(jets.n_jets, self.value)


class AtBoth(Constant):
    """One efficiency for every jet at the looser of two points, half of it at the tighter."""

    def efficiency(self, jets: Jets) -> FloatArray:
        loose = super().efficiency(jets)
        return np.column_stack([loose, loose / 2])


@pytest.fixture
def halves() -> Jets:
    """Jets whose true efficiency is one half."""
    jets = make_jets([2, 3, 4])
    return jets.with_columns(efficiency_true=np.full(jets.n_jets, 0.5))


def test_a_point_measures_the_mean_of_the_members(halves: Jets) -> None:
    table = Point("gnn", 100, 390, seeds=2).measure(
        [Constant(0.3), Constant(0.7)], halves, FLAVOURS
    )
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
    """Tagged fractions of groups of jets, fitted many times.

    Each is a parameter: half a nat divided by the jets.
    """
    rng = np.random.default_rng(1)
    groups, jets, true = 6, 500, 0.3
    fitted = rng.binomial(jets, true, (4000, groups)) / jets
    regret = true * np.log(true / fitted) + (1 - true) * np.log((1 - true) / (1 - fitted))
    point = Point("fit", 1, groups * jets, parameters=groups)
    sample = make_jets([2])
    floor = point.measure([Constant(0.5)], sample, FLAVOURS)["floor"].iloc[0]
    assert regret.mean() == pytest.approx(floor, rel=0.03)


def test_the_table_shows_one_number_each(halves: Jets) -> None:
    points = [
        Point(name, events, 4 * events) for name in ("map", "delta_r") for events in (300, 100)
    ]
    numbers = pd.concat(
        [p.measure([Constant(0.1 + p.events / 1000)], halves, FLAVOURS) for p in points]
    )
    table = learning_table(numbers)
    assert list(table) == ["events", "map", "delta_r"]
    assert table["events"].tolist() == [100, 300]
    assert table["map"].is_monotonic_decreasing
    assert (table["map"] == table["delta_r"]).all()


def test_the_loss_of_the_truth_is_that_of_a_network_that_knows_it() -> None:
    jets = make_jets([1, 2, 2, 5, 3, 5, 0])
    true = np.clip(jets.efficiency_true, 0.01, 0.99)
    jets = jets.with_columns(efficiency_true=true)
    logits, tags = torch.logit(torch.from_numpy(true)), torch.tensor(jets.is_tagged).double()
    buckets = list(jets.by_multiplicity())
    order = np.concatenate([bucket.jets.ravel() for bucket in buckets])
    loss = batch_loss(logits[order], tags[order], [bucket.jets.shape for bucket in buckets], 1.0)
    assert true_loss(jets) == pytest.approx(float(loss), rel=1e-12)


def test_the_loss_of_the_truth_at_several_points_is_that_of_tag_bins() -> None:
    true = np.array([[0.5, 0.2], [0.8, 0.4], [1.0, 1.0]])
    jets = make_jets(
        [2, 1],
        is_tagged=None,
        tag_bin=np.array([1, 0, 2]),
        efficiency_true=true,
        labels=Labels(points=("loose", "tight")),
    )
    assert true_loss(jets) == pytest.approx((-np.log(0.3) - np.log(0.2)) / 2 / 2)
    # A point of a learning curve is measured at the loosest.
    table = Point("half", 1, 3).measure([Constant(0.5)], jets.at_point("tight"), FLAVOURS)
    loosest = Point("half", 1, 3).measure([AtBoth(0.5)], jets, FLAVOURS)
    one = Point("half", 1, 3).measure([Constant(0.5)], jets.at_point("loose"), FLAVOURS)
    pd.testing.assert_frame_equal(loosest, one)
    assert table["regret"][0] != one["regret"][0]


def test_a_learning_curve_needs_a_truth() -> None:
    jets = make_jets([2], efficiency_true=None)
    with pytest.raises(DataError, match="needs the columns 'efficiency_true' and 'is_tagged'"):
        Point("half", 1, 2).measure([Constant(0.5)], jets, FLAVOURS)


def test_the_loss_of_an_unknown_truth_is_refused() -> None:
    with pytest.raises(DataError, match="needs the columns 'efficiency_true' and 'is_tagged'"):
        true_loss(make_jets([2], efficiency_true=None))


def test_an_efficiency_of_one_or_zero_that_is_right_costs_nothing() -> None:
    jets = make_jets([2], efficiency_true=np.array([1.0, 0.0]), is_tagged=np.array([True, False]))
    assert true_loss(jets) == 0


def history(*rows: tuple[float, float]) -> pd.DataFrame:
    seconds, loss = zip(*rows, strict=True)
    return pd.DataFrame(
        {"epoch": range(1, len(rows) + 1), "seconds": seconds, "validation_loss": loss}
    )


def test_the_cost_is_time_added_up_and_loss_above_the_truth() -> None:
    histories = {
        "two": [history((10, 0.5), (10, 0.45), (10, 0.4)), history((20, 0.6), (20, 0.55))],
        "one": [history((1, 0.7))],
    }
    table = training_cost(histories, 0.4)
    assert table["network"].tolist() == ["two", "two", "one"]
    # The first stopped after three epochs, the second after two: what both reached counts.
    assert table["epoch"].tolist() == [1, 2, 1]
    assert table["seconds"].tolist() == [15, 30, 1]
    assert table["excess"].to_numpy() == pytest.approx([0.15, 0.1, 0.3])
    assert table["excess_std"].to_numpy()[:2] == pytest.approx(0.1 / np.sqrt(2))
    assert np.isnan(table["excess_std"].to_numpy()[2])
    assert table["seeds"].tolist() == [2, 2, 1]


def bins(
    name: str, sample: int, yields: list[float], replicas: list[list[float]], **more: Any
) -> pd.DataFrame:
    """Return the rows of one closure histogram, filled by an ensemble and by its replicas."""
    low = np.arange(len(yields)) * 10.0
    return pd.DataFrame(
        {
            "efficiency": name,
            "distribution": "m_jj",
            "panel": "b-b",
            "sample": sample,
            "low": low,
            "high": low + 10,
            "yield": yields,
            "efficiency_error": np.std(replicas, axis=0, ddof=1) if len(replicas) > 1 else np.nan,
            **{f"replica_{number}": replica for number, replica in enumerate(replicas)},
            **more,
        }
    )


def two_samples() -> pd.DataFrame:
    """Two training samples, yields (2, 4) apart; replicas of each, (2, 0) and (4, 4) apart."""
    return pd.concat(
        [
            bins("gnn", 0, [10.0, 20.0], [[9.0, 20.0], [11.0, 20.0]]),
            bins("gnn", 1, [12.0, 24.0], [[10.0, 22.0], [14.0, 26.0]]),
        ],
        ignore_index=True,
    )


def test_repeated_errors_by_hand() -> None:
    table = repeated_errors(two_samples())
    assert table["efficiency"].tolist() == ["gnn"] * 2
    assert table["distribution"].tolist() == ["m_jj"] * 2
    assert table["panel"].tolist() == ["b-b"] * 2
    assert table["low"].tolist() == [0, 10]
    assert table["high"].tolist() == [10, 20]
    assert table["yield"].tolist() == [11, 22]
    # Two numbers that differ by d have the standard deviation d / sqrt(2).
    assert table["replicas"].tolist() == pytest.approx([np.sqrt((2 + 8) / 2), np.sqrt((0 + 8) / 2)])
    assert table["replicas_std"].tolist() == pytest.approx([1, 2])
    assert table["repeated"].tolist() == pytest.approx([np.sqrt(2), np.sqrt(8)])
    assert table["repeated_error"].tolist() == pytest.approx([1, 2])


def test_repeated_covariance_by_hand() -> None:
    (row,) = repeated_covariance(two_samples()).itertuples()
    # Of replicas, the mean of [[2, 0], [0, 0]] and [[8, 8], [8, 8]]; of samples, [[2, 4], [4, 8]].
    assert (row.efficiency, row.distribution, row.panel) == ("gnn", "m_jj", "b-b")
    assert row.samples == 2
    assert row.bins == pytest.approx(np.sqrt(9 / 10))
    assert row.sum == pytest.approx(np.sqrt(17 / 18))
    value, vector = np.linalg.eigh(np.array([[5.0, 4.0], [4.0, 4.0]]))
    seen = vector[:, 1] @ np.array([[2.0, 4.0], [4.0, 8.0]]) @ vector[:, 1]
    assert row.leading == pytest.approx(np.sqrt(value[1] / seen))
    assert row.relative_error == pytest.approx(1 / np.sqrt(2))
    assert row.correlation_replicas == pytest.approx(4 / np.sqrt(20))
    assert row.correlation_repeated == pytest.approx(1)


def test_histograms_are_compared_one_by_one_in_any_order_of_their_rows() -> None:
    """Others have other numbers of replicas: the columns that they lack are empty."""
    one, other = two_samples(), two_samples().assign(efficiency="mlp", panel="delta_r")
    other = other.assign(replica_2=other["replica_0"] + [3.0, 1.0, 0.0, 2.0])
    both = pd.concat([one, other], ignore_index=True)
    order = np.random.default_rng(1).permutation(len(both))
    for measure in (repeated_errors, repeated_covariance):
        alone = pd.concat([measure(one), measure(other)], ignore_index=True)
        pd.testing.assert_frame_equal(measure(both), alone)
        shuffled = measure(both.iloc[order]).sort_values(
            "efficiency", kind="stable", ignore_index=True
        )
        pd.testing.assert_frame_equal(shuffled, alone)


def test_one_replica_claims_nothing() -> None:
    frame = pd.concat([bins("gnn", s, [1.0 + s, 2.0], [[1.0, 2.0]]) for s in range(3)])
    table = repeated_errors(frame)
    assert table["replicas"].isna().all()
    assert table["repeated"].tolist() == pytest.approx([1, 0])
    with pytest.raises(DataError, match=r"one replica tells of no spread\. Use at least two"):
        repeated_covariance(frame)


def test_a_histogram_that_is_there_twice_is_refused() -> None:
    """Filled by two efficiencies, say: the mean of the two would mean nothing."""
    with pytest.raises(ValueError, match="duplicate entries"):
        repeated_errors(pd.concat([two_samples(), two_samples()]))


@pytest.fixture(scope="module")
def repeated_toys() -> pd.DataFrame:
    """Forty times, 16 training samples of 10 replicas: Gaussian yields of three bins.

    The replicas scatter as the samples do.
    """
    rng = np.random.default_rng(5)
    roots = rng.multivariate_normal(np.zeros(3), [[4, 3, 1], [3, 9, 2], [1, 2, 1]], (40, 16, 11))
    yields = 1000 + roots[:, :, 0]
    replicas = yields[:, :, None] + roots[:, :, 1:]
    return pd.concat(
        [
            bins("gnn", s, yields[n, s].tolist(), replicas[n, s].tolist(), panel=f"{n}")
            for n in range(40)
            for s in range(16)
        ],
        ignore_index=True,
    )


def test_replicas_that_scatter_as_samples_do_have_a_ratio_of_one(
    repeated_toys: pd.DataFrame,
) -> None:
    """Logarithms of variances with f degrees of freedom: mean -1 / f, variance 2 / f, nearly."""
    table = repeated_covariance(repeated_toys)
    assert len(table) == 40
    # Of ratios of roots, half of that: 15 degrees of freedom of the samples,
    # 16 times 9 of the replicas.
    shift, error = (1 / 15 - 1 / 144) / 2, np.sqrt((2 / 15 + 2 / 144) / 4)
    assert table["relative_error"].to_numpy() == pytest.approx(np.sqrt(1 / 30))
    assert table["relative_error"].to_numpy() == pytest.approx(error, rel=0.06)
    for name in ("sum", "leading"):
        ratio = np.log(table[name])
        assert ratio.mean() == pytest.approx(shift, abs=4 * error / np.sqrt(40))
        assert ratio.std() == pytest.approx(error, rel=4 / np.sqrt(78) + 0.05)
    # The sum of several variances is known no worse than one of them.
    assert np.log(table["bins"]).mean() == pytest.approx(shift, abs=4 * error / np.sqrt(40))
    assert np.log(table["bins"]).std() < error * (1 + 4 / np.sqrt(78))
    # Neighbours: 3 of sqrt(4 * 9), 2 of sqrt(9 * 1).
    expected = (3 + 2) / (6 + 3)
    for name in ("correlation_replicas", "correlation_repeated"):
        # That of one pair is known to (1 - r^2) / sqrt(f), here of 15 in each of 40 toys.
        assert table[name].mean() == pytest.approx(expected, abs=4 / np.sqrt(15 * 40))


def test_replicas_that_scatter_as_samples_do_have_their_errors(repeated_toys: pd.DataFrame) -> None:
    table = repeated_errors(repeated_toys)
    true = np.tile([2.0, 3.0, 1.0], 40)
    assert len(table) == 120
    assert table["repeated_error"].to_numpy() == pytest.approx(
        table["repeated"].to_numpy() / np.sqrt(30)
    )
    for name, freedom in (("repeated", 15), ("replicas", 144)):
        variance = table[name].to_numpy() ** 2 / true**2
        # Bins of one toy are correlated: 40 are independent at least.
        assert variance.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / freedom / 40))
    # That of one training sample scatters as its nine degrees of freedom say.
    assert (table["replicas_std"] / true).mean() == pytest.approx(1 / np.sqrt(18), rel=0.2)


def test_distributions_with_the_same_panels_are_told_apart() -> None:
    one = two_samples()
    other = two_samples().assign(distribution="m_12")
    other["yield"] = 3 * other["yield"]
    both = pd.concat([one, other], ignore_index=True)
    table = repeated_errors(both)
    assert table["distribution"].tolist() == ["m_jj", "m_jj", "m_12", "m_12"]
    assert table["yield"].tolist() == [11, 22, 33, 66]
    assert repeated_covariance(both)["distribution"].tolist() == ["m_jj", "m_12"]


def test_histograms_that_are_not_whole_are_refused() -> None:
    frame = two_samples()
    for measure in (repeated_errors, repeated_covariance):
        with pytest.raises(DataError, match="column 'distribution' is missing; the table has effi"):
            measure(frame.drop(columns="distribution"))
        with pytest.raises(
            DataError, match=r"panel 'b-b' is of one training sample; .* at least two"
        ):
            measure(frame[frame["sample"] == 0])
        with pytest.raises(
            DataError, match="'b-b' lacks bins of the training sample 1; fill it ag"
        ):
            measure(frame.iloc[:3])
        with pytest.raises(DataError, match="histograms: the table has no rows"):
            measure(frame.iloc[:0])
    frame.loc[0, "replica_1"] = np.nan
    # A replica that lacks a bin is not left out.
    with pytest.raises(DataError, match="replica 1 is nan at position 0; every number must be fin"):
        repeated_covariance(frame)


def test_points_that_make_no_curve_are_refused(halves: Jets) -> None:
    with pytest.raises(DataError, match="train_jets of 'fit' is 0; it must be 1 or more"):
        Point("fit", 100, 0, parameters=18)
    with pytest.raises(DataError, match="learning curve: 'gnn' has no member to measure"):
        Point("gnn", 100, 390).measure([], halves, FLAVOURS)
    one = Point("gnn", 100, 390).measure([Constant(0.3)], halves, FLAVOURS)
    with pytest.raises(DataError, match="'gnn' with 100 events is there twice; drop one"):
        learning_table(pd.concat([one, one]))


def test_histories_that_make_no_cost_are_refused() -> None:
    with pytest.raises(DataError, match="needs at least one network; none was given"):
        training_cost({}, 0.4)
    with pytest.raises(DataError, match="the network 'gnn' has no history of its training"):
        training_cost({"gnn": []}, 0.4)
    lacking = history((1, 0.7)).drop(columns="seconds")
    with pytest.raises(DataError, match="history 1 of the network 'gnn': column 'seconds' is miss"):
        training_cost({"gnn": [history((1, 0.7)), lacking]}, 0.4)


def test_the_truth_of_no_jets_has_no_loss() -> None:
    with pytest.raises(DataError, match="is a mean over events with jets; the sample has none"):
        true_loss(make_jets([0, 0]))


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
    figure = draw("learning_curve", curve())
    check_figure(figure, tmp_path / "learning_curve.png")
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text for text in texts if "expected" not in text] == list(EIGHT)
    assert sum("expected" in text for text in texts) == 1
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    without = curve()[lambda rows: rows["efficiency"] == "map"]
    check_figure(draw("learning_curve", without), tmp_path / "map.png")


def test_work_is_drawn_even_where_it_is_done(tmp_path: Path) -> None:
    """A dozen networks, one of which falls below the truth on the validation events."""
    names = [f"batch_{number}" for number in range(12)]
    table = training_cost(
        {name: [history((9, 0.6), (9, 0.41)), history((8, 0.7), (9, 0.42))] for name in names}, 0.4
    )
    table.loc[table.index[-1], "excess"] = -0.01
    figure = draw("training_cost", table)
    check_figure(figure, tmp_path / "training_cost.png")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == names
    check_figure(
        draw("training_cost", training_cost({"one": [history((1, 0.7))]}, 0.4)),
        tmp_path / "one.png",
    )


def test_many_lines_look_different_and_keep_their_look() -> None:
    names = [f"n{number}" for number in range(20)]
    looks = [tuple(look.values()) for look in look_of(names).values()]
    assert len(set(looks)) == 20
    assert [tuple(look.values()) for look in look_of(names[:3]).values()] == looks[:3]
