"""The numbers of the figures, and that each is drawn with labels, units and a legend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from conftest import make_jets
from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.data.kinematics import delta_r
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.estimators.maps import ReplicatedMap, fit_map, fit_replicas
from truthtag.estimators.network.learned_factors import read_factors
from truthtag.estimators.network.model import Architecture, EfficiencyNetwork
from truthtag.estimators.predictions import Prediction, predict, spread
from truthtag.figures.numbers import NUMBERS, Inputs, flavour_pairs
from truthtag.figures.plots import DRAWINGS, add_remark, save_figure, shown
from truthtag.statistics.coverage import coverage_table
from truthtag.statistics.uncertainty import measure_scales
from truthtag.studies.studies import repeated_errors
from truthtag.toy.neighbour_product import NeighbourProduct

NAMES = ["b", "c", "light"]
SCALES = {"map": {5: 2.0, 4: 1.0, 0: 0.5}, "nearly": {5: 1.5}, "alone": {}}


@pytest.fixture(scope="module")
def inputs(
    sample: Jets, boson_sample: Jets, truth: NeighbourProduct, default_config: dict[str, Any]
) -> Inputs:
    """A map with replicas, what is nearly the truth with others of its own, and the same without any."""
    options = {
        key: value for key, value in default_config["maps"]["map"].items() if key != "replicas"
    }
    fitted = ReplicatedMap(
        fit_map(sample, options), fit_replicas(sample, options, 4, (1, "figures"))
    )
    samples, rng = {"test": sample, "boson": boson_sample}, np.random.default_rng(8)
    factors = 1 + 0.01 * rng.normal(size=(6, 1))
    predicted, in_domain = {}, {}
    for name, jets in samples.items():
        nearly = np.clip(truth.efficiency(jets) * 1.01, 0, 1)
        predicted[name] = {
            "map": predict(fitted, jets),
            "nearly": Prediction(
                jets.per_jet("event"), nearly, (nearly * factors).astype(np.float32)
            ),
            "alone": Prediction(jets.per_jet("event"), nearly),
        }
        in_domain[name] = jets.pt < 400
    figures = {
        **default_config["figures"],
        "minimum_variance": default_config["closure"]["minimum_variance"],
    }
    return Inputs(samples, predicted, in_domain, SCALES, truth, default_config["flavours"], figures)


@pytest.fixture(scope="module")
def numbers(inputs: Inputs) -> dict[str, pd.DataFrame]:
    return {name: compute(inputs) for name, compute in NUMBERS.items()}


def test_pairs_of_flavours_in_the_papers_order() -> None:
    names = ["-".join(pair) for pair in flavour_pairs({"b": 5, "c": 4, "light": 0})]
    assert names == ["b-b", "b-c", "b-light", "c-c", "c-light", "light-light"]


def test_nearest_distance_is_the_smallest() -> None:
    jets = make_jets([1, 2, 5])
    which, nearest = nearest_jet(jets)
    assert np.isinf(nearest[0])
    assert which[0] == -1
    for e in (1, 2):
        members = range(jets.offsets[e], jets.offsets[e + 1])
        for i in members:
            distances = [
                delta_r(jets.eta[i], jets.phi[i], jets.eta[j], jets.phi[j])
                for j in members
                if j != i
            ]
            assert nearest[i] == pytest.approx(min(distances))
            assert jets.event_of_jet[which[i]] == e != 0
            assert which[i] != i


def test_corrected_inputs_have_the_spread_that_the_scales_say(inputs: Inputs) -> None:
    corrected = inputs.corrected()
    assert corrected.samples is inputs.samples
    for sample, jets in inputs.samples.items():
        before, after = inputs.predicted[sample], corrected.predicted[sample]
        assert list(after) == list(before)
        assert after["alone"].replicas is None
        for name in ("map", "nearly"):
            assert np.array_equal(after[name].values, before[name].values)
            for flavour in inputs.flavours.values():
                # Those that were clipped to [0, 1] have less.
                free = (jets.flavour == flavour) & (
                    (after[name].replicas > 0) & (after[name].replicas < 1)
                ).all(axis=0)
                ratio = spread(after[name].replicas)[free] / spread(before[name].replicas)[free]
                assert ratio == pytest.approx(SCALES[name].get(flavour, 1.0), rel=1e-2)
                mean = after[name].replicas[:, free].mean(axis=0)
                np.testing.assert_allclose(mean, after[name].values[free], atol=1e-5)


def test_a_scale_of_every_efficiency_is_what_the_tags_say(inputs: Inputs) -> None:
    """Scales as the workflow measures them, in the form that the figures take them."""
    one = inputs.predicted["test"]["map"]
    table = measure_scales(inputs.samples["test"], one, inputs.flavours, 8, 0.3)
    scales = {"map": table.set_index("number")["scale"].to_dict()}
    alone = (
        replace(inputs, predicted={"test": {"map": one}}, scales=scales)
        .corrected()
        .predicted["test"]["map"]
    )
    assert not np.array_equal(alone.replicas, one.replicas)
    assert np.isfinite(alone.replicas).all()


def test_efficiencies_stand_beside_the_truth_where_it_is_known(inputs: Inputs) -> None:
    assert list(inputs.efficiencies("test")) == ["map", "nearly", "alone"]
    assert list(inputs.with_truth("boson")) == ["true", "map", "nearly", "alone"]
    unknown = {
        name: jets.with_columns(efficiency_true=None) for name, jets in inputs.samples.items()
    }
    assert list(replace(inputs, samples=unknown).with_truth("boson")) == ["map", "nearly", "alone"]
    pairs = inputs.pairs("boson")
    assert {name: len(one) for name, one in pairs.mass.replicas.items()} == {"map": 4, "nearly": 6}


def test_histograms_are_filled_with_all_events_and_with_those_in_the_domain(inputs: Inputs) -> None:
    jets = inputs.samples["test"]
    for both in (False, True):
        pairs = inputs.pairs("test", both)
        frame = inputs.closure("test", pairs, pairs.delta_r, "delta_r")
        assert set(frame["sample"]) == {"test"}
        assert list(frame["events"].unique()) == ["all", "in_domain"]
        every, inside = (
            frame[frame["events"] == events].reset_index() for events in ("all", "in_domain")
        )
        assert every[["filled_by", "low", "high"]].equals(inside[["filled_by", "low", "high"]])
        assert (inside["yield"] <= every["yield"]).all()
        # Only jets that must be tagged have to be in the domain.
        within = (jets.pt[pairs.tagged] < 400).all(axis=1)
        assert within.mean() == pytest.approx((jets.pt[pairs.jets[:, 0]] < 400).mean(), abs=1e-12)
        on_axis = (pairs.delta_r.values >= 0) & (pairs.delta_r.values < 3)
        direct = inside[inside["filled_by"] == "direct"]["yield"].sum()
        assert (
            direct
            == (within & on_axis & pairs.delta_r.passed).sum()
            < every["yield"].iloc[:30].sum()
        )
    # A jet that need not be tagged may be anywhere.
    second_out = replace(
        inputs, in_domain={"test": ~np.isin(np.arange(jets.n_jets), pairs.jets[:, 1])}
    )
    single = second_out.pairs("test", both=False)
    frame = second_out.closure("test", single, single.delta_r, "delta_r")
    every, inside = (
        frame[frame["events"] == events].reset_index() for events in ("all", "in_domain")
    )
    assert every["yield"].equals(inside["yield"])
    frame = second_out.closure("test", pairs, pairs.delta_r, "delta_r")
    assert (frame.loc[frame["events"] == "in_domain", "yield"] == 0).all()


def test_closure_of_chosen_events(inputs: Inputs) -> None:
    pairs = inputs.pairs("boson")
    chosen = np.arange(len(pairs.mass.values)) % 2 == 0
    parts = [
        inputs.closure("boson", pairs, pairs.mass, "boson_m_jj", one)
        for one in (None, chosen, ~chosen)
    ]
    assert parts[0]["yield"].to_numpy() == pytest.approx(
        (parts[1]["yield"] + parts[2]["yield"]).to_numpy()
    )


def test_figures_compare_by_all_events_and_by_the_domain(numbers: dict[str, pd.DataFrame]) -> None:
    for name, sample in (("fig6", "test"), ("fig7", "test"), ("fig8", "boson")):
        frame = numbers[name][numbers[name]["panel"] != "residual"]
        assert set(frame["sample"]) == {sample}
        yields = frame.pivot(index=["panel", "filled_by", "low"], columns="events", values="yield")
        assert list(yields) == ["all", "in_domain"]
        assert (yields["in_domain"] <= yields["all"]).all()
        assert yields["in_domain"].sum() < yields["all"].sum()
        errors = frame.groupby("filled_by")["efficiency_error"]
        assert errors.count()[["direct", "true", "alone"]].tolist() == [0, 0, 0]
        assert (errors.count()[["map", "nearly"]] == errors.size()[["map", "nearly"]]).all()


def test_figure_1_holds_every_event_of_the_pair_once(
    numbers: dict[str, pd.DataFrame], sample: Jets
) -> None:
    frame = numbers["fig1"].set_index("filled_by")
    pair = sample.leading_jets(2).jets
    both_c = (sample.flavour[pair] == 4).all(axis=1)
    assert frame.loc["generated", "yield"].sum() <= both_c.sum()
    # Masses above 800 GeV are outside the axis.
    assert frame.loc["generated", "yield"].sum() > 0.9 * both_c.sum()
    assert (
        frame.loc["direct", "yield"].to_numpy() <= frame.loc["generated", "yield"].to_numpy()
    ).all()
    # What weighting is for: a smaller error in every bin that direct tagging fills.
    filled = frame.loc["direct", "yield"].to_numpy() > 0
    weighted, direct = frame.loc["true"], frame.loc["direct"]
    relative = [(one["error"] / one["yield"]).to_numpy()[filled] for one in (weighted, direct)]
    assert (relative[0] < relative[1]).all()


def test_figure_2_shows_what_is_universal(numbers: dict[str, pd.DataFrame]) -> None:
    frame = numbers["fig2"]
    density = frame[frame["panel"] == "density"]
    for _, rows in density.groupby("sample"):
        assert (rows["value"] * (rows["high"] - rows["low"])).sum() == pytest.approx(1, abs=0.01)
    ratios = frame[(frame["panel"] == "direct_over_predicted") & (frame["filled_by"] == "true")]
    pulls = (ratios["value"] - 1) / ratios["error"]
    assert (pulls**2).sum() < len(pulls) + 5 * np.sqrt(2 * len(pulls))
    fraction = frame[frame["panel"] == "tagged_fraction"]
    assert (fraction["value_low"] <= fraction["value"]).all()
    assert (fraction["value"] <= fraction["value_high"]).all()


def test_figure_3_is_the_truth(numbers: dict[str, pd.DataFrame]) -> None:
    frame = numbers["fig3"]
    base = frame[(frame["panel"] == "base") & (frame["flavour"] == "b")]
    assert base["efficiency"].max() == pytest.approx(0.8, rel=1e-3)
    at_zero = frame[(frame["panel"] == "correction") & (frame["delta_r"] == 0)].set_index(
        "flavour"
    )["factor"]
    assert at_zero.to_dict() == pytest.approx({"b": 0.55, "c": 0.7, "light": 0.85})


def test_figure_6_counts_jets_and_weights_events(
    numbers: dict[str, pd.DataFrame], inputs: Inputs
) -> None:
    frame, jets = numbers["fig6"], inputs.samples["test"]
    residual = frame[(frame["panel"] == "residual") & (frame["filled_by"] == "nearly")]
    assert residual["yield"].sum() == jets.n_jets
    assert residual["mean"].iloc[0] == pytest.approx(-0.01)
    frame = frame[frame["events"] == "all"]
    histogram = frame[(frame["panel"] == "delta_r") & (frame["filled_by"] == "true")]
    eff = jets.efficiency_true[jets.offsets[:-1]]
    assert histogram["yield"].sum() == pytest.approx(eff.sum(), rel=0.02)
    ratio = frame[(frame["panel"] == "delta_r") & (frame["filled_by"] == "nearly")]["ratio"]
    assert ratio.to_numpy() == pytest.approx(1.01)
    # The paper's finding about maps: too high where jets are close.
    of_map = frame[(frame["panel"] == "delta_r") & (frame["filled_by"] == "map")][
        "ratio"
    ].to_numpy()
    assert of_map[1:4].min() > 1.1
    assert of_map[-5:].max() < 1


def test_figure_7_splits_all_events_by_flavour(
    numbers: dict[str, pd.DataFrame], inputs: Inputs
) -> None:
    frame, jets = numbers["fig7"][numbers["fig7"]["events"] == "all"], inputs.samples["test"]
    pair = jets.leading_jets(2).jets
    direct = frame[frame["filled_by"] == "direct"]["yield"].sum()
    assert (
        0.95 * jets.is_tagged[pair].all(axis=1).sum()
        < direct
        <= jets.is_tagged[pair].all(axis=1).sum()
    )
    assert frame["panel"].nunique() == 6


def test_calibration_is_that_of_test_jets(numbers: dict[str, pd.DataFrame], inputs: Inputs) -> None:
    frame, jets = numbers["calibration"], inputs.samples["test"]
    assert list(frame["efficiency"].unique()) == ["map", "nearly", "alone"]
    assert frame.groupby("efficiency")["jets"].sum().to_dict() == dict.fromkeys(
        ("map", "nearly", "alone"), jets.n_jets
    )
    of_nearly = frame[frame["efficiency"] == "nearly"]
    assert len(of_nearly) == 3 * inputs.options["calibration_bins"]
    assert of_nearly["true"].to_numpy() * 1.01 == pytest.approx(of_nearly["predicted"].to_numpy())


def test_coverage_is_that_of_jets_in_the_domain_and_of_all_bins(
    numbers: dict[str, pd.DataFrame], inputs: Inputs
) -> None:
    frame, jets = numbers["coverage"], inputs.samples["test"]
    assert set(frame["efficiency"]) == {"map", "nearly"}
    assert set(frame["variable"]) == {"all", "pt", "delta_r", "histogram bins"}
    whole = frame[(frame["variable"] == "all") & (frame["efficiency"] == "nearly")].set_index(
        ["spread", "flavour"]
    )
    for spread_of in ("raw", "corrected"):
        for flavour, number in inputs.flavours.items():
            row = whole.loc[(spread_of, flavour)]
            assert row["count"] == ((jets.flavour == number) & (jets.pt < 400)).sum()
    # All differences are 1 % of the truth, all spreads nearly so: what is stretched pulls less.
    ratio = whole.loc[("raw", "b"), "pull_rms"] / whole.loc[("corrected", "b"), "pull_rms"]
    assert ratio == pytest.approx(1.5, rel=0.02)
    assert whole.loc[("raw", "c"), "pull_rms"] == pytest.approx(
        whole.loc[("corrected", "c"), "pull_rms"], rel=0.02
    )
    bins = frame[frame["variable"] == "histogram bins"].set_index(["spread", "efficiency"])
    fig6, fig7 = (numbers[name] for name in ("fig6", "fig7"))
    enough = [
        (
            (one["filled_by"] == "map")
            & (one["events"] == "all")
            & (one["difference_variance"] >= 10)
        ).sum()
        for one in (fig6, fig7)
    ]
    assert bins.loc[("raw", "map"), "count"] == sum(enough)


def test_coverage_without_bins_of_enough_events_has_numbers_still(
    inputs: Inputs, numbers: dict[str, pd.DataFrame]
) -> None:
    few = replace(inputs, options={**inputs.options, "minimum_variance": 1e9})
    expected = numbers["coverage"][numbers["coverage"]["variable"] != "histogram bins"].reset_index(
        drop=True
    )
    pd.testing.assert_frame_equal(NUMBERS["coverage"](few), expected)


def without_spread(inputs: Inputs) -> Inputs:
    """As from a config with maps none and a single network."""
    predicted = {
        sample: {"alone": by_name["alone"]} for sample, by_name in inputs.predicted.items()
    }
    return replace(inputs, predicted=predicted)


def test_coverage_of_nothing_is_a_table_and_a_figure_all_the_same(
    inputs: Inputs, tmp_path: Path
) -> None:
    write_frame(NUMBERS["coverage"](without_spread(inputs)), tmp_path / "coverage.csv")
    frame = pd.read_csv(tmp_path / "coverage.csv")
    assert frame.empty
    check_figure(DRAWINGS["coverage"](frame, NAMES), tmp_path / "coverage.png")
    scales = pd.DataFrame(
        {"efficiency": ["alone"], "flavour": "b", "scale": [1.0], "error": [np.inf]}
    )
    assert coverage_table(frame, scales).empty


def test_efficiencies_of_zero_are_drawn(inputs: Inputs, tmp_path: Path) -> None:
    """A map of few events has bins in which no jet is tagged."""
    jets, eff = inputs.samples["test"].first(300), inputs.efficiencies("test")["map"]
    zero = np.where(jets.flavour == 0, 0.0, eff[: jets.n_jets])
    some = np.where((jets.flavour == 4) & (jets.pt < 150), 0.0, zero)
    event = jets.per_jet("event")
    given = replace(
        inputs, samples={"test": jets}, predicted={"test": {"map": Prediction(event, some)}}
    )
    frame = NUMBERS["calibration"](given)
    assert (frame["predicted"] == 0).sum() == 1
    check_figure(DRAWINGS["calibration"](frame, NAMES), tmp_path / "calibration.png")


@pytest.mark.parametrize("name", ["fig6", "fig8"])
def test_only_all_events_are_drawn(name: str, numbers: dict[str, pd.DataFrame]) -> None:
    def heights(frame: pd.DataFrame) -> list[np.ndarray]:
        axes = DRAWINGS[name](frame, NAMES).axes
        return [patch.get_data().values for one in axes for patch in one.patches]

    inside = numbers[name]["events"] == "in_domain"
    assert inside.any()
    both, every = heights(numbers[name]), heights(numbers[name][~inside])
    assert len(both) == len(every) > 5
    for one, other in zip(both, every, strict=True):
        np.testing.assert_array_equal(one, other)


def bands(figure: Figure) -> list[str]:
    """Return the colours of filled steps on axes that show ratios."""
    filled = [
        patch
        for axes in figure.axes
        for patch in axes.patches
        if axes.get_ylabel() == "ratio to true"
    ]
    return [patch.get_facecolor() for patch in filled if patch.get_fill()]


def test_bands_show_the_error_of_the_efficiency(numbers: dict[str, pd.DataFrame]) -> None:
    frame = numbers["fig8"]
    # For each of the two panels, one of the truth, and one for each efficiency with replicas.
    with_replicas, other = (
        bands(DRAWINGS["fig8"](frame, NAMES)),
        frame.drop(columns="efficiency_error"),
    )
    assert len(with_replicas) == 2 * (1 + 3)
    assert len(bands(DRAWINGS["fig8"](other, NAMES))) == 2
    axes = DRAWINGS["fig8"](shown(frame, ["nearly"], ["map", "nearly", "alone"]), NAMES).axes
    ratio = next(one for one in axes if one.get_ylabel() == "ratio to true")
    data = ratio.patches[-2].get_data()
    rows = frame[(frame["panel"] == "delta_r") & (frame["events"] == "all")].set_index("filled_by")
    filled = rows.loc["true", "yield"].to_numpy() > 0
    error = (
        rows.loc["nearly", "efficiency_error"].to_numpy() / rows.loc["true", "yield"].where(filled)
    ).to_numpy()
    assert filled.sum() > 20
    assert data.values - data.baseline == pytest.approx(2 * error, nan_ok=True)
    middle = rows.loc["nearly", "ratio"].to_numpy()
    assert (data.values + data.baseline) / 2 == pytest.approx(middle, nan_ok=True)


def test_a_figure_shows_the_efficiencies_that_it_is_asked_for(
    numbers: dict[str, pd.DataFrame],
) -> None:
    known = ["map", "nearly", "alone"]
    some = shown(numbers["fig7"], ["nearly"], known)
    assert list(some["filled_by"].unique()) == ["direct", "true", "nearly"]
    assert set(shown(numbers["fig1"], ["nearly"], known)["filled_by"]) == {
        "generated",
        "direct",
        "true",
        "nearly",
    }
    assert set(shown(numbers["calibration"], ["map"], known)["efficiency"]) == {"map"}
    for name in ("fig3", "fig6"):
        assert shown(numbers[name], known, known).equals(numbers[name])


@pytest.mark.parametrize("name", [name for name in DRAWINGS if name in NUMBERS])
def test_figures_are_drawn_with_labels_and_units(
    name: str, numbers: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    figure = DRAWINGS[name](numbers[name], NAMES)
    check_figure(figure, tmp_path / f"{name}.png")
    (tmp_path / f"{name}.csv").write_text(numbers[name].to_csv(index=False))
    # Drawn from the file as it is drawn from memory.
    again = DRAWINGS[name](pd.read_csv(tmp_path / f"{name}.csv"), NAMES)
    save_figure(again, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / f"{name}.png").read_bytes()


def test_remarks_stand_above_every_panel(numbers: dict[str, pd.DataFrame]) -> None:
    figure = DRAWINGS["fig7"](numbers["fig7"], NAMES)
    add_remark(figure, "quick look")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("quick look: toy simulation") == 6


def test_histories_are_drawn(tmp_path: Path) -> None:
    rows = [
        {
            "network": n,
            "seed": s,
            "epoch": e,
            "train_loss": 1 / e,
            "validation_loss": 1.1 / e,
            "best": True,
        }
        for n in ("gnn", "other")
        for s in range(2)
        for e in range(1, 4)
    ]
    check_figure(DRAWINGS["training"](pd.DataFrame(rows), ["b"]), tmp_path / "training.png")


def repeated(change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame) -> pd.DataFrame:
    """Numbers of two networks on three repeated training samples."""
    rng, parts = np.random.default_rng(1), []
    for network in ("gnn", "gnn_factorised"):
        for panel, width in (("delta_r", 0.5), ("b-b", 100.0), ("c-c", 100.0)):
            for sample in range(3):
                columns = {"yield": rng.normal(100, 3, 6), "efficiency_error": rng.uniform(2, 4, 6)}
                where = {"network": network, "panel": panel, "sample": sample}
                parts.append(
                    pd.DataFrame(
                        {**where, "low": width * np.arange(6), "high": width * np.arange(1, 7)}
                    )
                )
                parts[-1] = parts[-1].assign(**columns)
    return repeated_errors(change(pd.concat(parts)))


def test_repeated_samples_are_drawn(tmp_path: Path) -> None:
    figure = DRAWINGS["repeated"](repeated(), NAMES)
    check_figure(figure, tmp_path / "repeated.png")
    # A row per network; the panels of other pairs are in the table only.
    assert [axes.get_legend().get_title().get_text() for axes in figure.axes] == ["gnn"] * 2 + [
        "gnn_factorised"
    ] * 2
    for axes, label in zip(figure.axes, ["Delta R", "GeV"] * 2, strict=True):
        assert label in axes.get_xlabel()
    assert [axes.get_ylabel() for axes in figure.axes] == ["error of the yield [%]", ""] * 2
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["replicas of one sample", "repeated samples"]


def test_points_above_the_band_are_on_the_axes() -> None:
    for factor in (0.01, np.nan):
        # An error that is far too small, and none: networks of one seed.
        figure = DRAWINGS["repeated"](
            repeated(
                lambda frame, by=factor: frame.assign(
                    efficiency_error=by * frame["efficiency_error"]
                )
            ),
            NAMES,
        )
        for axes in figure.axes:
            points = axes.lines[0].get_ydata()
            assert np.isfinite(points).all()
            assert points.max() < axes.get_ylim()[1]


def test_bins_without_events_leave_a_gap_in_repeated_samples(tmp_path: Path) -> None:
    def emptied(frame: pd.DataFrame) -> pd.DataFrame:
        empty = ((frame["panel"] == "b-b") & (frame["low"] == 200)) | (frame["panel"] == "delta_r")
        return frame.assign(
            **{name: frame[name].where(~empty, 0.0) for name in ("yield", "efficiency_error")}
        )

    figure = DRAWINGS["repeated"](repeated(emptied), NAMES)
    check_figure(figure, tmp_path / "repeated.png")
    values, edges, _ = figure.axes[1].patches[-1].get_data()
    assert edges.tolist() == [0, 100, 200, 300, 400, 500, 600]
    assert np.isnan(values).tolist() == [False, False, True, False, False, False]


def check_figure(figure: Figure, path: Path) -> None:
    """Every axis that shows numbers has a label, momenta and masses their unit, and the figure a legend."""
    save_figure(figure, path)
    save_figure(figure, path.with_suffix(".pdf"))
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    bottoms = [
        axes for axes in figure.axes if axes.xaxis.get_tick_params().get("labelbottom", True)
    ]
    labels = [axes.get_xlabel() for axes in bottoms if axes.get_xlabel()]
    assert labels
    for label in labels:
        assert "GeV" in label or not any(word in label for word in ("p_", "m_"))
    assert all(
        axes.get_ylabel()
        for axes in figure.axes
        if axes.get_subplotspec() and axes.get_subplotspec().is_first_col()
    )
    assert figure.legends or any(axes.get_legend() for axes in figure.axes)
    assert all(not text.get_text().startswith("{") for axes in figure.axes for text in axes.texts)


def test_what_cannot_be_drawn_is_refused(inputs: Inputs) -> None:
    test = replace(inputs, predicted={"test": inputs.predicted["test"]})
    unknown = replace(
        test, samples={"test": inputs.samples["test"].with_columns(efficiency_true=None)}
    )
    with pytest.raises(
        DataError,
        match="figure 6 compares with the true efficiency; the sample 'test' has no column",
    ):
        NUMBERS["fig6"](unknown)
    with pytest.raises(
        DataError,
        match="coverage compares with the truth; the sample has no column 'efficiency_true'",
    ):
        NUMBERS["coverage"](unknown)
    untagged = replace(test, samples={"test": inputs.samples["test"].with_columns(is_tagged=None)})
    with pytest.raises(
        DataError,
        match="figure 2 compares with the tags; the sample 'test' has no column 'is_tagged'",
    ):
        NUMBERS["fig2"](untagged)
    with pytest.raises(
        DataError, match="calibration compares with the tags; the sample has no column 'is_tagged'"
    ):
        NUMBERS["calibration"](untagged)


def test_factors_of_an_untrained_network_are_those_that_predict(
    inputs: Inputs, tmp_path: Path
) -> None:
    architecture = Architecture(kind="factorised", width=8, head=(8,), edge_features=("delta_r",))
    networks = [EfficiencyNetwork(architecture), EfficiencyNetwork(architecture)]
    jet = {"pt": 100.0, "eta": 0.5, "flavour": 5}
    frame = read_factors(
        networks, inputs.truth, inputs.flavours, jet, np.array([100.0, 200.0]), np.array([0.0, 0.4])
    )
    assert len(frame) == 3 * (2 + 2)
    pair = make_jets(
        [2],
        pt=np.full(2, 100.0),
        eta=np.full(2, 0.5),
        phi=np.array([0.0, 0.4]),
        flavour=np.array([5, 4]),
    )
    base = frame[(frame["panel"] == "base") & (frame["flavour"] == "b")].iloc[0]
    factor = frame[
        (frame["panel"] == "factor") & (frame["flavour"] == "c") & (frame["x"] == 0.4)
    ].iloc[0]
    one, two = (network.efficiency(pair)[0] for network in networks)
    alone = [
        network.efficiency(pair.take(slice(0, 1)).with_columns(**single(pair)))[0]
        for network in networks
    ]
    assert base["mean"] == pytest.approx(np.mean(alone), rel=1e-5)
    assert factor["mean"] == pytest.approx(np.mean([one / alone[0], two / alone[1]]), rel=1e-5)
    assert base["true"] == pytest.approx(inputs.truth.own(5, np.array([100.0]), np.array([0.5]))[0])
    assert factor["true"] == pytest.approx(1 - 0.30 * np.exp(-((0.4 / 0.6) ** 2) / 2))
    check_figure(DRAWINGS["factors"](frame, NAMES), tmp_path / "factors.png")
    with pytest.raises(DataError, match="kind 'graph' has no factors to read"):
        read_factors(
            [EfficiencyNetwork(Architecture(16))],
            inputs.truth,
            inputs.flavours,
            jet,
            *[np.ones(1)] * 2,
        )


def single(pair: Jets) -> dict[str, Any]:
    """Return the columns of the first jet of a pair, alone in its event."""
    names = list(pair.jet_columns)
    return {"offsets": np.array([0, 1]), **{name: getattr(pair, name)[:1] for name in names}}
