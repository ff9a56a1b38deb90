"""Scale factors of varied jets: those of the momenta that a variation gives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_awkward_arrays import FromEverything, array_of

from truthtag.weights.events import weights_table
from truthtag.weights.sample_weights import Selection, sample_weights
from truthtag.weights.scale_factors import ScaleFactors
from truthtag.weights.varied import varied_jets, varied_weights

ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")

EDGES = (0.0, 200.0, 1e4)


@pytest.fixture
def factors(tmp_path: Path) -> ScaleFactors:
    """Scale factors that depend on flavour and pt, up and down."""
    rows = []
    for systematic, shift in (("nominal", 0.0), ("up", 0.2), ("down", -0.2)):
        for flavour in (0, 4, 5):
            for low, high in itertools.pairwise(EDGES):
                value = 0.8 + 0.02 * flavour + (0.1 if low else 0.0) + shift
                rows.append((systematic, "medium", flavour, 0.0, 2.5, low, high, value))
    names = ("systematic", "working_point", "flavour", "abs_eta_low", "abs_eta_high")
    names += ("pt_low", "pt_high", "scale_factor")
    path = tmp_path / "sf.csv"
    pd.DataFrame(rows, columns=list(names)).to_csv(path, index=False)
    flavours = {"b": 5, "c": 4, "light": 0}
    return ScaleFactors.from_options({"file": str(path)}, flavours)


def test_each_variation_has_the_scale_factors_of_its_jets(factors: ScaleFactors) -> None:
    array = array_of([3, 0, 5, 1, 7, 2] * 5, seed=2)
    variations = {"up": {"pt": array.pt * 1.5}}
    tagged: Any = {"is_tagged": array.pt > 300}
    model = FromEverything()
    found = varied_weights(model, array, variations, tags=2, columns=tagged, scale_factors=factors)
    for name, varied in varied_jets(array, variations, columns=tagged):
        weights = sample_weights(varied.jets, model.efficiency(varied.jets), Selection(2), factors)
        expected, _ = weights_table(varied.jets, weights.counts, factors=weights.factors)
        pd.testing.assert_frame_equal(found[name], expected)
        table = found[name]
        assert {"p_tag_ge_1", "p_tag_ge_1_sf", "p_tag_ge_1_sf_heavy_up"} <= set(table)
        assert {"p_tag_2_sf_light_down", "weight_direct", "weight_direct_heavy_down"} <= set(table)
        some = array[array.flavour > 0]
        heavy = ak.any(some.pt > 0, axis=1).to_numpy()
        up = table["p_tag_ge_1_sf_heavy_up"] > table["p_tag_ge_1_sf"]
        assert (up == heavy).all()


def test_jets_that_move_to_another_bin_get_its_scale_factor(factors: ScaleFactors) -> None:
    """One b jet: the weight is the scale factor times the efficiency, by hand."""
    array = {"pt": [[150.0]], "eta": [[0.0]], "phi": [[0.0]], "mass": [[2.0]], "flavour": [[5]]}
    found = varied_weights(
        FromEverything(), array, {"up": {"pt": [[250.0]]}}, tags=1, scale_factors=factors
    )
    values = [table["p_tag_1_sf"].item() for table in found.values()]
    np.testing.assert_allclose(values, [0.9, 1.0])


def test_flavours_may_keep_their_tags() -> None:
    array = array_of([2, 3, 1])
    columns = {"is_tagged": array.flavour == 5}
    found = varied_weights(FromEverything(), array, tags=1, columns=columns, keep_tags_of=[0, 4, 5])
    is_b = ak.any(array.flavour == 5, axis=1).to_numpy()
    assert np.array_equal(found["nominal"]["p_tag_ge_1"], is_b.astype(float))
