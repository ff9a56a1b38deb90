"""Maps with a correction for the nearest jet: by hand, closing, their edges and their table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_kinds import b_jets, fit
from scipy.stats import chi2

from truthtag.data.files import write_frame
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.nearest_jet import NearestJetMap
from truthtag.toy.neighbour_product import NeighbourProduct
from truthtag.toy.shapes import NearbyDip
from truthtag.toy.tagging import tag


def fit_by_hand(jets: Jets, pt: list[float], delta_r: list[float]) -> NearestJetMap:
    return fit("nearest_jet", jets, pt=pt, eta=[-2.5, 2.5], delta_r=delta_r)


def corrected_by_hand() -> NearestJetMap:
    """Three close pairs, two of six tagged; a far pair and a jet alone, all tagged; 5/9 in all."""
    jets = b_jets(
        [2, 2, 2, 2, 1],
        eta=[0.0, 0.1] * 3 + [-2.0, 2.0, 0.0],
        is_tagged=[True, False] * 2 + [False, False] + [True] * 3,
    )
    return fit_by_hand(jets, [20.0, 100.0], [0.0, 0.5, 1.0])


def test_correction_by_hand() -> None:
    fitted = corrected_by_hand()
    assert fitted.total.tolist() == [[6, 0, 3]]
    assert fitted.tagged.tolist() == [[2, 0, 3]]
    assert fitted.base.values.ravel() == pytest.approx([5 / 9])
    # Tags over expected tags; 1 where none are expected; the last bin is for no near jet.
    assert fitted.correction.tolist() == [pytest.approx([2 / (6 * 5 / 9), 1.0, 3 / (3 * 5 / 9)])]
    at = b_jets([2, 2, 1], eta=[0.0, 0.7, 0.0, 0.2, 0.0])
    assert fitted.efficiency(at) == pytest.approx([5 / 9, 5 / 9, 1 / 3, 1 / 3, 1.0])


def test_the_table_holds_the_map_and_the_correction() -> None:
    frame = corrected_by_hand().to_frame()
    assert frame["delta_r_high"].tolist()[1:] == [0.5, 1.0, math.inf]
    assert (
        frame["delta_r_low"].isna().tolist()
        == frame["correction"].isna().tolist()
        == [True, False, False, False]
    )
    assert frame["tagged"].tolist() == [5, 2, 0, 3]
    assert frame["tagged"].dtype == frame["total"].dtype == np.int64


def test_corrected_efficiencies_stay_below_one() -> None:
    jets = b_jets([2, 1], pt=[50.0, 45.0, 200.0], is_tagged=[True, True, False])
    fitted = fit_by_hand(jets, [20.0, 100.0, 600.0], [0.0, 1.0])
    doubled = NearestJetMap(
        fitted.base, fitted.edges, fitted.tagged, fitted.total, fitted.expected / 2
    )
    assert doubled.correction[0, 0] == 2
    assert doubled.efficiency(jets).tolist() == [1.0, 1.0, 0.0]


def test_corrected_maps_close_in_every_bin_of_delta_r(sample: Jets) -> None:
    fitted = fit("nearest_jet", sample)
    again = fit("nearest_jet", sample)
    assert np.array_equal(again.correction, fitted.correction)
    np.testing.assert_allclose(fitted.expected * fitted.correction, fitted.tagged)
    assert fitted.efficiency(sample).sum() == pytest.approx(sample.is_tagged.sum(), rel=1e-3)


def test_without_neighbours_in_the_truth_the_correction_is_one(
    sample: Jets, truth: NeighbourProduct
) -> None:
    alone = NeighbourProduct(truth.base, dict.fromkeys(truth.correction, NearbyDip(0.0, 1.0)))
    jets = tag(sample, alone, np.random.default_rng(11))
    fitted = fit("nearest_jet", jets)
    some = fitted.expected > 0
    pulls = (fitted.tagged - fitted.expected)[some] / np.sqrt(fitted.expected[some])
    assert chi2.sf((pulls**2).sum(), pulls.size) > 1e-3
    seen = fit("nearest_jet", sample)
    assert (seen.correction[:, 0] < 0.9).all()


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([0.0, 0.5, 0.3], r"delta_r: edge 2 is 0.3, not above the edge before it, 0.5"),
        ([0.0, 0.5, np.inf], r"delta_r: the last edge is infinite; .* a bin of their own"),
    ],
)
def test_bad_edges_of_delta_r_are_refused(edges: list[float], message: str) -> None:
    fitted = corrected_by_hand()
    with pytest.raises(ConfigError, match=message):
        NearestJetMap(fitted.base, np.array(edges), fitted.tagged, fitted.total, fitted.expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.iloc[:-1], r"the 2 rows of the correction are not the bins"),
        (
            lambda frame: pd.concat([frame, frame.iloc[-1:]]),
            r"the 4 rows of the correction are not the bins",
        ),
        (
            lambda frame: frame.assign(expected=frame["expected"].where(frame.index != 1)),
            r"column 'expected' must be finite",
        ),
        (lambda frame: frame.assign(tagged=100), r"100 of 9 jets are tagged in row 0"),
    ],
)
def test_a_damaged_table_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    fitted = corrected_by_hand()
    metadata = {"estimator": {"kind": "nearest_jet", "settings": fitted.settings}}
    write_frame(change(fitted.to_frame()), tmp_path / "map.parquet", metadata)
    with pytest.raises(DataError, match=rf"map\.parquet: .*{message}"):
        NearestJetMap.load(tmp_path / "map.parquet")
