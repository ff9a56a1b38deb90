"""The files for Athena, read as its truth tagging tool reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx_cases import KINDS, POINTS, ensemble, jets_of, largest_ratio, with_labels

from truthtag.arrays import FloatArray
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError
from truthtag.exports.athena import POINTS as PERCENT
from truthtag.exports.onnx_file import OnnxOptions, export_onnx, read_onnx

LISTED = tuple(f"FixedCutBEff_{percent}" for percent in PERCENT)
OTHERS = ("FixedCutBEff_65", "FixedCutBEff_90", "FixedCutBEff_50", "tight")
ATHENA = OnnxOptions(layout="athena")


class TruthTaggingTool:
    """What the tool does with a model, step by step.

    Shapes come from static information, the first output is used, and what follows the name of a
    working point is a sum over its bins.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.n_bins = 0
        for output in self.session.get_outputs():
            # A length that varies has a name here, and is -1 there.
            shape = [size if isinstance(size, int) else -1 for size in output.shape]
            if len(shape) != 3:
                raise ValueError("an output is not of rank 3")
            self.n_bins = shape[2]

    def tag_bins(self, node_feat: list[list[float]]) -> FloatArray:
        """Return the probabilities of tag bins, shape (n_jets, n_bins)."""
        n_features = len(node_feat[0])
        flat = [value for jet in node_feat for value in jet]
        jets = np.array(flat, dtype=np.float32).reshape(1, len(node_feat), n_features)
        # It gives one tensor, however many inputs there are.
        names = [given.name for given in self.session.get_inputs()]
        assert len(names) == 1
        memory = self.session.run(None, {names[0]: jets})[0].ravel()
        bins = [
            [memory[jet * self.n_bins + number] for number in range(self.n_bins)]
            for jet in range(len(node_feat))
        ]
        return np.array(bins)

    def efficiency(self, bins: FloatArray, name: str) -> FloatArray:
        """Return the efficiency of each jet at a working point."""
        position = LISTED.index(name) if name in LISTED else len(LISTED)
        return bins[:, position + 1 :].sum(axis=1, dtype=np.float64)


def node_features(jets: Jets) -> list[list[float]]:
    """Return what a user's code gives the tool: flavour, pt [MeV], eta, phi."""
    columns = [jets.flavour, jets.pt * np.float32(1000), jets.eta, jets.phi]
    return np.stack(columns, axis=-1).tolist()


def written(points: tuple[str, ...], folder: Path, kind: str = "geometric") -> Path:
    path = folder / "model.onnx"
    export_onnx(ensemble(kind, 3, points), path, ATHENA)
    return path


# ---- one working point


@pytest.mark.parametrize("kind", ["mlp", "graph", "geometric", "factorised"])
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_every_name_gives_our_efficiency(kind: str, n: int, tmp_path: Path) -> None:
    tool = TruthTaggingTool(written((), tmp_path, kind))
    assert tool.n_bins == 6
    jets = jets_of([n], seed=n)
    bins = tool.tag_bins(node_features(jets))
    expected = ensemble(kind).efficiency(jets)
    for name in (*LISTED, *OTHERS):
        assert largest_ratio(tool.efficiency(bins, name), expected) < 1e-5, name
    np.testing.assert_allclose(bins.sum(axis=1), 1, atol=1e-6)
    assert (bins[:, 1:5] == 0).all()


def test_why_there_are_six_bins(tmp_path: Path) -> None:
    """With five, a name that the tool does not list sums over nothing: an efficiency of 0."""
    tool = TruthTaggingTool(written((), tmp_path))
    jets = jets_of([4])
    e = ensemble("geometric").efficiency(jets)
    nothing = np.zeros_like(e)
    five = np.stack([1 - e, e, nothing, nothing, nothing], axis=1)
    assert largest_ratio(tool.efficiency(five, "FixedCutBEff_85"), e) < 1e-12
    for tighter in ("FixedCutBEff_77", "FixedCutBEff_60", "FixedCutBEff_50"):
        assert (tool.efficiency(five, tighter) == 0).all()
        assert (tool.efficiency(tool.tag_bins(node_features(jets)), tighter) > 0).all()


# ---- the four of the tool


def test_four_points_have_bins_of_their_own(tmp_path: Path) -> None:
    tool = TruthTaggingTool(written(POINTS, tmp_path))
    assert tool.n_bins == 5
    jets = jets_of([6])
    bins = tool.tag_bins(node_features(jets))
    expected = ensemble("geometric", 3, POINTS).efficiency(jets)
    for point, name in enumerate(LISTED):
        assert largest_ratio(tool.efficiency(bins, name), expected[:, point]) < 1e-5
    # What 'Continuous' reads: the probability of each bin.
    between = -np.diff(expected, axis=1, append=0)
    np.testing.assert_allclose(bins[:, 1:], between, atol=1e-6)
    np.testing.assert_allclose(bins.sum(axis=1), 1, atol=1e-6)
    assert (bins >= 0).all()


@pytest.mark.parametrize(
    "points", [("FixedCutBEff_85", "WP77", "GN2v01_70", "60%"), ("85", "77", "70", "60")]
)
def test_the_four_are_known_by_the_number_in_their_name(
    points: tuple[str, ...], tmp_path: Path
) -> None:
    assert TruthTaggingTool(written(points, tmp_path, "mlp")).n_bins == 5


@pytest.mark.parametrize(
    "points", [("loose", "tight"), ("85", "77", "70"), ("60", "70", "77", "85"), ("90", *POINTS)]
)
def test_other_points_need_a_file_each(points: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    several = ensemble("mlp", 2, points)
    with pytest.raises(ConfigError, match=rf"file for each: points: \[{points[0]}\]"):
        export_onnx(several, path, ATHENA)
    assert not path.exists()
    jets = with_labels(jets_of([3]), points)
    expected = several.efficiency(jets)
    for number, point in enumerate(points):
        export_onnx(several, path, OnnxOptions(layout="athena", points=(point,)))
        tool = TruthTaggingTool(path)
        bins = tool.tag_bins(node_features(jets))
        for name in (LISTED[0], *OTHERS):
            assert largest_ratio(tool.efficiency(bins, name), expected[:, number]) < 1e-5


# ---- the contract


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_static_where_the_tool_reads_them(kind: str, tmp_path: Path) -> None:
    path = written((), tmp_path, kind)
    session = TruthTaggingTool(path).session
    (jets,) = session.get_inputs()
    assert jets.shape == [1, "n_jets", len(read_onnx(path).features)]
    assert [output.shape for output in session.get_outputs()] == [[1, "n_jets", 6]]
    assert jets.type == "tensor(float)"


def test_energies_are_in_mev_and_the_flavour_comes_first(tmp_path: Path) -> None:
    file = read_onnx(written((), tmp_path, "categories"))
    assert file.features == ("flavour", "pt", "eta", "phi", "origin", "width", "mass")
    assert file.units == ("", "MeV", "1", "rad", "", "", "MeV")
    jets = jets_of([3, 0, 5, 1])
    found = file.efficiency(jets)
    assert largest_ratio(found, ensemble("categories").efficiency(jets)) < 1e-5


def test_momenta_in_gev_give_something_else(tmp_path: Path) -> None:
    tool = TruthTaggingTool(written((), tmp_path))
    jets = jets_of([4])
    wrong = node_features(jets)
    for jet in wrong:
        jet[1] /= 1000
    right = tool.efficiency(tool.tag_bins(node_features(jets)), LISTED[0])
    assert np.abs(tool.efficiency(tool.tag_bins(wrong), LISTED[0]) / right - 1).max() > 1e-3
