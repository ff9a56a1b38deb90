"""Single jets in cells: which cell a jet is in, what is counted there, and what tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.data.neighbours import nearest_jet
from truthtag.errors import DataError
from truthtag.estimators.predictions import Prediction
from truthtag.figures.catalogue import figures_of
from truthtag.figures.inputs import Inputs
from truthtag.figures.labels import DrawingContext
from truthtag.figures.numbers.cells import cells as numbers_of_figure
from truthtag.figures.plots.cells import draw_cells
from truthtag.statistics.cells import ALONE, Cells, cells_table, fill_cells, summed_over_pt
from truthtag.statistics.verdict import closure_table

FLAVOURS = {"b": 5, "c": 4, "light": 0}
SMALL = Cells(delta_r=(0.5,), pt=(100.0,), close=0.5)


def predicted(jets: Jets, replicas: int = 0, factor: float = 1.0) -> Prediction:
    """Return the true efficiency times a factor, and replicas that are wrong by factors."""
    values = np.clip(jets.efficiency_true * factor, 0, 1)
    wrong = 1 + 0.05 * np.random.default_rng(2).normal(size=(replicas, 1))
    return Prediction(
        jets.per_jet("event"), values, np.clip(values * wrong, 0, 1) if replicas else None
    )


def scales_of(predictions: dict[str, Prediction]) -> pd.DataFrame:
    """Leave the spread as it is."""
    rows = [(name, number, 1.0) for name in predictions for number in FLAVOURS.values()]
    return pd.DataFrame(rows, columns=["efficiency", "number", "scale"])


def fill(jets: Jets, predictions: dict[str, Prediction], cells: Cells = SMALL) -> pd.DataFrame:
    """Fill the cells of a sample; jets below 300 GeV are in the domain."""
    inside = jets.pt < 300
    return fill_cells("test", jets, predictions, inside, FLAVOURS, cells, scales_of(predictions))


def by_hand() -> Jets:
    """Two events: three jets, the first two close; and a jet alone."""
    return Jets(
        offsets=np.array([0, 3, 4]),
        pt=np.array([200.0, 80.0, 50.0, 100.0], dtype=np.float32),
        eta=np.zeros(4, dtype=np.float32),
        phi=np.array([0.0, 0.3, 2.0, 0.0], dtype=np.float32),
        mass=np.full(4, 2, dtype=np.float32),
        flavour=np.array([5, 4, 5, 5], dtype=np.int8),
        weight=np.array([2.0, 1.0]),
        event=np.array([0, 1]),
        is_tagged=np.array([True, False, False, True]),
        efficiency_true=np.array([0.5, 0.25, 0.4, 0.8]),
    )


def test_cells_by_hand() -> None:
    jets = by_hand()
    marks = SMALL.marks(FLAVOURS)
    found = marks.iloc[SMALL.index(jets, FLAVOURS)]
    assert found["neighbour"].tolist() == ["c", "b", "c", ALONE]
    assert found["delta_r_low"].tolist() == [0.0, 0.0, 0.5, np.inf]
    # A jet on a border is in the upper bin.
    assert found["pt_low"].tolist() == [100.0, 0.0, 0.0, 100.0]
    assert len(marks) == 3 * 2 * 2 + 2


def test_a_jet_next_to_a_flavour_without_a_name_is_in_no_cell() -> None:
    assert SMALL.index(by_hand(), {"b": 5}).tolist()[0] == -1
    assert len(SMALL.index(make_jets([]), FLAVOURS)) == 0


def test_what_is_counted_by_hand() -> None:
    jets = by_hand()
    table = cells_table(fill(jets, {"q": predicted(jets, 3)}))
    every = table[(table["events"] == "all") & (table["efficiency"] == "true")]
    rows = every.set_index(["flavour", "neighbour", "delta_r_low"])
    assert rows["jets"].to_dict() == {
        ("b", "c", 0.0): 1,
        ("b", "c", 0.5): 1,
        ("b", ALONE, np.inf): 1,
        ("c", "b", 0.0): 1,
    }
    # Each jet counts with the weight of its event, 2 of the first.
    close = rows.loc[("b", "c", 0.0)]
    assert close[["tagged", "predicted", "error"]].tolist() == pytest.approx([2, 1, 1])
    assert close["pull"] == pytest.approx(1)
    assert np.isnan(close["efficiency_error"])
    assert rows.loc[("c", "b", 0.0), "tagged"] == 0
    of_q = table[(table["efficiency"] == "q") & (table["events"] == "all")]
    assert (of_q["efficiency_error"] > 0).all()
    assert (of_q["pull_total"].abs() < of_q["pull"].abs()).all()
    # Cells without jets are left out.
    assert len(table) == 2 * 2 * 4


@given(st.lists(st.integers(0, 6), max_size=6), st.integers(0, 9))
def test_every_jet_is_in_the_cell_of_its_neighbour(sizes: list[int], seed: int) -> None:
    jets = make_jets(sizes, seed)
    cells = Cells()
    found = cells.marks(FLAVOURS).iloc[cells.index(jets, FLAVOURS)]
    nearest, distance = nearest_jet(jets)
    alone = nearest < 0
    assert ((found["neighbour"] == ALONE).to_numpy() == alone).all()
    near = found[~alone]
    numbers = near["neighbour"].map(FLAVOURS).to_numpy()
    assert (numbers == jets.flavour[nearest[~alone]]).all()
    assert (near["delta_r_low"].to_numpy() <= distance[~alone]).all()
    assert (distance[~alone] < near["delta_r_high"].to_numpy()).all()
    assert (found["pt_low"].to_numpy() <= jets.pt).all()
    assert (jets.pt < found["pt_high"].to_numpy()).all()


def test_sums_over_cells_are_sums_over_jets(sample: Jets) -> None:
    prediction = predicted(sample, 4)
    filled = fill(sample, {"q": prediction})
    for events, chosen in (("all", sample.pt > 0), ("in_domain", sample.pt < 300)):
        for flavour, number in FLAVOURS.items():
            jets = chosen & (sample.flavour == number)
            rows = filled[(filled["events"] == events) & (filled["panel"] == flavour)]
            totals = rows.groupby("filled_by")[["yield", "difference_variance", "jets"]].sum()
            values = prediction.values[jets]
            assert totals.loc["q", "yield"] == pytest.approx(values.sum())
            assert totals.loc["q", "difference_variance"] == pytest.approx(
                (values * (1 - values)).sum()
            )
            assert totals.loc["direct", "yield"] == sample.is_tagged[jets].sum()
            assert totals.loc["q", "jets"] == jets.sum()


def test_the_sum_over_pt_keeps_what_cells_share(sample: Jets) -> None:
    """Errors of a common factor add up, those of tags in quadrature."""
    filled = fill(sample, {"q": predicted(sample, 5)})
    fine = cells_table(filled)
    coarse = summed_over_pt(filled)
    keys = ["events", "efficiency", "flavour", "neighbour", "delta_r_low"]
    both = fine.groupby(keys).agg(
        efficiency_error=("efficiency_error", "sum"),
        error=("error", lambda x: float(np.sqrt((x**2).sum()))),
        tagged=("tagged", "sum"),
    )
    joined = coarse.set_index(keys).join(both.add_suffix("_fine"), how="left")
    assert joined["error"].to_numpy() == pytest.approx(joined["error_fine"].to_numpy())
    assert joined["tagged"].tolist() == joined["tagged_fine"].tolist()
    of_q = joined.xs("q", level="efficiency")
    # Clipping at 1 is all that keeps the factor from being common.
    assert of_q["efficiency_error"].to_numpy() == pytest.approx(
        of_q["efficiency_error_fine"].to_numpy(), rel=0.02
    )
    assert joined.xs("true", level="efficiency")["efficiency_error"].isna().all()


def test_cells_are_tested_like_histograms(sample: Jets) -> None:
    low = predicted(sample, factor=0.8)
    table = closure_table(fill(sample, {"low": low}, Cells()), 10, 0.01)
    assert table["distribution"].unique().tolist() == ["cells"]
    assert table["panel"].unique().tolist() == list(FLAVOURS)
    of_b = table[(table["panel"] == "b") & (table["events"] == "all")].set_index("efficiency")
    assert of_b.loc["true", "verdict"] == "closes"
    assert of_b.loc["low", "verdict"] == "does not close"
    assert of_b.loc["low", "pull"] > 5


def test_opposite_biases_next_to_different_neighbours_do_not_cancel(sample: Jets) -> None:
    """What the sum cannot see, cells do."""
    nearest, _ = nearest_jet(sample)
    next_to = np.where(sample.flavour[nearest] == 5, 1.25, 0.8)
    values = sample.efficiency_true * next_to
    of_b = sample.flavour == 5
    values[of_b] *= sample.efficiency_true[of_b].sum() / values[of_b].sum()
    wrong = Prediction(sample.per_jet("event"), np.clip(values, 0, 1))
    table = closure_table(fill(sample, {"wrong": wrong}, Cells()), 10, 0.01)
    row = table[(table["panel"] == "b") & (table["events"] == "all")].set_index("efficiency")
    assert abs(row.loc["wrong", "pull"]) < 3
    assert row.loc["wrong", "p_value"] < 1e-6
    assert row.loc["wrong", "verdict"] == "does not close"


def test_a_sample_without_tags_is_refused() -> None:
    jets = make_jets([2], is_tagged=None)
    with pytest.raises(DataError, match="closure in cells compares with the tags"):
        fill(jets, {})


def test_the_figure_shows_jets_with_neighbours(sample: Jets) -> None:
    config = {
        "roles": {"train": [], "validation": [], "judged": ["test"]},
        "samples": {"test": {"generator": "multijet"}},
        "estimators": {},
        "distributions": {},
        "figures": {},
    }
    entry = figures_of(config)["cells_test"]
    assert entry.inputs_of("cells") == ("test",)
    assert entry.standard
    inputs = Inputs(FLAVOURS, {}, cells={"test": fill(sample, {"q": predicted(sample, 3)})})
    frame = numbers_of_figure(inputs)
    assert set(entry.columns) <= set(frame)
    assert ALONE not in set(frame["neighbour"])
    assert set(frame["events"]) == {"all"}
    figure = draw_cells(frame, DrawingContext(list(FLAVOURS)))
    assert len(figure.axes) == 9
    assert figure.axes[0].get_ylabel() == "tagged / predicted"
    # Nothing to draw is no error.
    assert len(draw_cells(frame.iloc[:0], DrawingContext(list(FLAVOURS))).axes) == 9
