"""Awkward arrays in and out: the user's order and nesting, whatever is selected and sorted."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from estimator_kinds import fit
from hypothesis import given
from hypothesis import strategies as st
from reader_files import NANO, jets_of, options_of

import truthtag
from truthtag.data.awkward_arrays import AwkwardJets, from_awkward, to_awkward
from truthtag.data.jets import Jets
from truthtag.data.labels import Labels
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture

ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")

FIELDS = ("pt", "eta", "phi", "mass", "flavour")


def array_of(multiplicities: list[int], seed: int = 0) -> Any:
    """Make jets as an analysis has them, those of an event in any order."""
    rng = np.random.default_rng(seed)
    n_jets = sum(multiplicities)
    columns = {
        # Some jets have the same pt.
        "pt": rng.integers(40, 1200, n_jets) / 2,
        "eta": rng.uniform(-2.4, 2.4, n_jets),
        "phi": rng.uniform(-3.1, 3.1, n_jets),
        "mass": rng.uniform(0, 9, n_jets),
        "flavour": rng.choice([0, 4, 5], n_jets),
    }
    return ak.unflatten(ak.zip(columns), multiplicities)


def mask_of(array: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    counts = ak.num(array.pt)
    return ak.unflatten(rng.random(int(ak.sum(counts))) < 0.6, counts)


def shuffled(array: Any, seed: int = 0) -> tuple[Any, Any]:
    """Bring the jets of each event into another order; and return the order."""
    rng = np.random.default_rng(seed)
    counts = ak.num(array.pt)
    order = ak.argsort(ak.unflatten(rng.random(int(ak.sum(counts))), counts), axis=1)
    return array[order], order


class FromEverything:
    """An efficiency that depends on all jets of the event, and on nothing else."""

    def efficiency(self, jets: Jets) -> Any:
        total = np.add.reduceat(np.r_[jets.pt, 0.0], np.minimum(jets.offsets[:-1], jets.n_jets))
        return jets.pt / np.maximum(total, 1.0)[jets.event_of_jet] * np.exp(-np.abs(jets.eta))


multiplicities = st.lists(st.integers(0, 7), min_size=1, max_size=12)
seeds = st.integers(0, 10_000)


@given(multiplicities, seeds)
def test_values_return_to_the_order_and_nesting_of_the_array(counts: list[int], seed: int) -> None:
    array = array_of(counts, seed)
    like = from_awkward(array)
    assert like.jets.multiplicity.tolist() == counts
    for name in FIELDS:
        back = to_awkward(getattr(like.jets, name), like)
        assert back.tolist() == array[name].tolist()
        assert not back.layout.content.is_option
    assert like.flat(array.pt).tolist() == like.jets.pt.tolist()
    assert to_awkward(like.jets.position, like).tolist() == ak.local_index(array.pt).tolist()


@given(multiplicities, seeds)
def test_jets_that_do_not_count_get_none(counts: list[int], seed: int) -> None:
    array = array_of(counts, seed)
    mask = mask_of(array, seed)
    like = from_awkward(array, mask=mask)
    assert like.jets.n_events == len(counts)
    assert like.jets.multiplicity.tolist() == ak.sum(mask, axis=1).tolist()
    back = to_awkward(like.jets.pt, like)
    assert back.tolist() == ak.mask(array.pt, mask).tolist()
    assert str(back.type.content.content) == "?float64"
    # Jets that are None say the same without a mask.
    again = from_awkward(ak.mask(array, mask))
    assert again.is_partial
    assert np.array_equal(again.rows, like.rows)
    assert np.array_equal(again.jets.pt, like.jets.pt)
    # And so does an array that was selected before, but for the way back.
    fewer = from_awkward(array[mask])
    assert not fewer.is_partial
    assert fewer.jets.digest() == like.jets.digest()


@given(multiplicities, seeds)
def test_what_is_computed_goes_with_the_jet(counts: list[int], seed: int) -> None:
    array = array_of(counts, seed)
    other, order = shuffled(array, seed)
    model = FromEverything()
    one = from_awkward(array)
    two = from_awkward(other)
    first = to_awkward(model.efficiency(one.jets), one)
    second = to_awkward(model.efficiency(two.jets), two)
    np.testing.assert_allclose(
        ak.to_numpy(ak.flatten(second)), ak.to_numpy(ak.flatten(first[order])), rtol=1e-12
    )


def test_maps_and_networks_do_not_see_the_order(few: Jets) -> None:
    array = array_of([2, 0, 5, 3, 1, 4] * 20, seed=3)
    other, order = shuffled(array)
    network = EfficiencyNetwork(Architecture(width=8, blocks=1), points=("loose", "tight"))
    for model in (fit("binned", few), fit("nearest_jet", few), network):
        found = []
        for jets in (array[order], other):
            like = from_awkward(jets)
            efficiency = model.efficiency(like.jets)
            found.append(ak.to_numpy(ak.flatten(to_awkward(efficiency, like))))
        np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["binned", "smoothed", "nearest_jet", "parametric"])
def test_events_without_jets_are_no_trouble(kind: str, few: Jets) -> None:
    model = fit(kind, few)
    for counts in ([], [0], [0, 0, 0], [0, 2, 0]):
        array = array_of([1, *counts])[1:]
        like = from_awkward(array)
        efficiency = to_awkward(model.efficiency(like.jets), like)
        assert ak.num(efficiency).tolist() == counts
        weights = truthtag.tag_counts(like.jets, model.efficiency(like.jets), 1)
        assert (weights.exactly[ak.num(array) == 0] == [1, 0]).all()


def test_a_network_takes_events_without_jets() -> None:
    network = EfficiencyNetwork(Architecture(width=8, blocks=1))
    like = from_awkward(array_of([1, 0, 0])[1:])
    assert to_awkward(network.efficiency(like.jets), like).tolist() == [[], []]


# ---- layouts, names, units


def test_any_layout_of_an_array_is_understood() -> None:
    array = array_of([2, 2, 2], seed=1)
    expected = from_awkward(array).jets.digest()
    regular = ak.to_regular(array)
    numpy = {name: ak.to_numpy(array[name]) for name in FIELDS}
    lists = {name: array[name].tolist() for name in FIELDS}
    longer = ak.concatenate([array_of([3, 1]), array])[2:]
    indexed = array[np.array([2, 1, 0])][np.array([2, 1, 0])]
    option = ak.mask(array, np.ones(3, dtype=bool))
    for other in (regular, numpy, lists, longer, indexed, option):
        like = from_awkward(other)
        assert like.jets.digest() == expected
        assert ak.flatten(to_awkward(like.jets.eta, like)).tolist() == (
            ak.flatten(array.eta).tolist()
        )


def test_fields_are_found_by_the_names_of_nanoaod_and_physlite() -> None:
    array = array_of([3, 1])
    nano = ak.zip({**{n: array[n] for n in FIELDS[:4]}, "hadronFlavour": array.flavour})
    assert from_awkward(nano).jets.digest() == from_awkward(array).jets.digest()
    mev = {"pt": array.pt * 1000, "m": array.mass * 1000, "eta": array.eta, "phi": array.phi}
    physlite = {**mev, "HadronConeExclTruthLabelID": array.flavour}
    found = from_awkward(physlite, unit="MeV").jets
    np.testing.assert_allclose(found.pt, from_awkward(array).jets.pt, rtol=1e-15)
    np.testing.assert_allclose(found.mass, from_awkward(array).jets.mass, rtol=1e-12)
    whole = {**physlite, "pt": ak.values_astype(mev["pt"], np.int32)}
    assert from_awkward(whole, unit="MeV").jets.pt.tolist() == found.pt.tolist()
    named = ak.zip({"pT": array.pt, **{n: array[n] for n in FIELDS[1:]}})
    jets = from_awkward(named, columns={"pt": "pT"}).jets
    assert jets.digest() == from_awkward(array).jets.digest()


def test_columns_may_be_fields_or_arrays_of_jets_or_events() -> None:
    array = array_of([3, 0, 2])
    tracks = ak.Array([[7, 8, 9], [], [1, 2]])
    array["tracks"] = tracks
    like = from_awkward(
        array,
        columns={
            "n_tracks": "tracks",
            "pileup": [10.5, 11.5, 12.5],
            "is_tagged": array.pt > 100,
            "score": ak.where(array.pt > 100, np.nan, 1.0),
        },
        weight=np.float32([1, -1, 0.1]),
        event_number=np.uint64([2**64 - 1, 5, 6]),
        labels=Labels(flavours=(0, 4, 5)),
    )
    jets = like.jets
    assert to_awkward(jets.further["n_tracks"], like).tolist() == tracks.tolist()
    assert jets.further["pileup"].tolist() == [10.5] * 3 + [12.5] * 2
    assert jets.is_tagged is not None
    assert np.array_equal(jets.is_tagged, jets.pt > 100)
    assert jets.score is not None
    assert np.array_equal(np.isnan(jets.score), jets.pt > 100)
    assert jets.weight.tolist() == np.float32([1, -1, 0.1]).astype(float).tolist()
    assert jets.event_number is not None
    assert jets.event_number.astype(np.uint64).tolist() == [2**64 - 1, 5, 6]
    assert jets.event.tolist() == [0, 1, 2]
    assert jets.labels.flavours == (0, 4, 5)


def test_a_mask_that_is_missing_counts_as_false() -> None:
    array = array_of([3])
    mask = ak.Array([[True, None, False]])
    assert from_awkward(array, mask=mask).jets.n_jets == 1


def test_several_values_come_as_an_axis_or_as_records() -> None:
    array = array_of([2, 0, 3])
    mask = array.pt > 200
    like = from_awkward(array, mask=mask)
    both = np.column_stack([like.jets.pt, like.jets.eta])
    axis = to_awkward(both, like)
    assert axis[..., 0].tolist() == ak.mask(array.pt, mask).tolist()
    assert axis[..., 1].tolist() == ak.mask(array.eta, mask).tolist()
    records = to_awkward(both, like, points=("loose", "tight"))
    assert records.fields == ["loose", "tight"]
    assert records.tight.tolist() == ak.mask(array.eta, mask).tolist()
    one = to_awkward(like.jets.pt, like, points=("medium",))
    assert one.medium.tolist() == ak.mask(array.pt, mask).tolist()


@pytest.mark.skipif(not NANO.is_file(), reason="the file of CMS is not part of the project")
def test_a_file_by_uproot_gives_what_the_reader_gives() -> None:
    uproot = pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
    with uproot.open(NANO) as file:
        names = ["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_hadronFlavour"]
        branches = file["Events"].arrays([*names, "genWeight", "event"])
    array = ak.zip({name[4:]: branches[name] for name in names})
    mask = (array.pt > 20) & (abs(array.eta) < 2.5)
    found = from_awkward(
        array, mask=mask, weight=branches.genWeight, event_number=branches.event
    ).jets
    options = options_of(discriminant="Jet_btagPNetB")
    read = jets_of(NANO, options, working_points={"medium": 0.2})
    assert found.n_jets == 1121
    assert np.array_equal(found.multiplicity[found.multiplicity > 0], read.multiplicity)
    for name in (*FIELDS, "position"):
        assert np.array_equal(getattr(found, name), getattr(read, name)), name
    chosen = found.take(found.multiplicity > 0)
    assert np.array_equal(chosen.event_number, read.event_number)
    assert np.array_equal(chosen.weight, read.weight)


# ---- what is refused


def changed(**fields: Any) -> Any:
    """Jets of two events, of three and two, with other values in some fields."""
    array = array_of([3, 2])
    for name, values in fields.items():
        array[name] = values
    return array


def with_one(name: str, value: Any) -> Any:
    """Jets of two events, where the last jet of the second has another value."""
    flat = ak.to_numpy(ak.flatten(changed()[name])).astype(float)
    flat[-1] = value
    return changed(**{name: ak.unflatten(flat, [3, 2])})


def refusals() -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """What each fault is called, the array that has it, and other arguments."""
    plain = changed()
    cut = {name: plain[name] for name in FIELDS} | {"eta": plain.eta[:, :1]}
    event_is_none = ak.mask(plain, [True, False])
    lazy = ak.Array(plain.layout.to_typetracer())
    some = ak.Array([[1, None, 3], [4, 5]])
    return {
        "nan": (r"^pt is nan in event 1, jet 1 \(1 such jets\): every", with_one("pt", np.nan), {}),
        "inf": (r"eta is inf in event 1, jet 1", with_one("eta", np.inf), {}),
        "low": (r"pt is 0.0 in event 1, jet 1 \(1 such jets\): it must", with_one("pt", 0), {}),
        "far": (r"phi is 7.0 in event 1, jet 1 .*wrap it first", with_one("phi", 7.0), {}),
        "flavour": (r"'flavour' must be int8, it holds 4.5", with_one("flavour", 4.5), {}),
        "strange flavour": (
            r"column 'flavour' is 3 in .*event 1\), 1 such rows: the flavours of the sample are 5",
            changed(flavour=[[5, 5, 5], [5, 3]]),
            {"labels": Labels(flavours=(5,))},
        ),
        "unit": (r"median of pt is .* state unit='MeV'", changed(pt=plain.pt * 1000), {}),
        "other unit": (r"is it in GeV\? Then state unit='GeV'", plain, {"unit": "MeV"}),
        "no such field": (r"no field 'fhi', .*you mean 'phi'", plain, {"columns": {"phi": "fhi"}}),
        "no field": (
            r"'flavour', which is looked for as flavour, hadronFlavour, .* have: pt, eta, phi, m",
            plain[["pt", "eta", "phi", "mass"]],
            {},
        ),
        "no records": (r"for the column 'pt'.*They have: none", plain.pt, {}),
        "no array": (r"the jets are of type int; an awkward array of records", 5, {}),
        "no jets": (r"pt has one value per event; a list", plain[:, 0], {}),
        "per event": (
            r"eta has one value per event; it must have one for each jet",
            plain,
            {"columns": {"eta": [1.0, 2.0]}},
        ),
        "filtered alone": (r"eta has 1 values in event 0, which has 3 jets \(2 such", cut, {}),
        "other events": (r"n has 1 events, the jets have 2", plain, {"columns": {"n": [[1]]}}),
        "deep": (r"n has lists of lists", plain, {"columns": {"n": [[[1]], [[2]]]}}),
        "text": (r"n holds .*string; numbers", plain, {"columns": {"n": [list("abc"), ["", ""]]}}),
        "records": (r"n holds .*; numbers are wanted", plain, {"columns": {"n": plain}}),
        "object": (r"n is of type object, of which no", plain, {"columns": {"n": object()}}),
        "event is none": (r"pt is None in event 1, where a list is wanted", event_is_none, {}),
        "jet is half there": (r"eta is None in event 0, jet 1 .*mask", changed(eta=some), {}),
        "input is none": (r"n is None in event 0, jet 1", plain, {"columns": {"n": some}}),
        "input is not finite": (
            r"n is inf in event 0, jet 0",
            plain,
            {"columns": {"n": [np.inf, 1.0]}},
        ),
        "only a type": (r"pt has a type and no values, .* give what compute\(\) returns", lazy, {}),
        "mask of numbers": (r"mask holds float64 values; True or False", plain, {"mask": plain.pt}),
        "short mask": (r"mask has 1 values in event 0", plain, {"mask": [[True], [True]]}),
        "weights of jets": (r"weight has lists; one value", plain, {"weight": plain.pt}),
        "few weights": (r"weight has 1 values; one value for each", plain, {"weight": [1]}),
        "weight is none": (r"weight is None in event 1 \(1 such", plain, {"weight": [1, None]}),
        "weight is nan": (r"column 'weight' is nan", plain, {"weight": [1, np.nan]}),
        "weight as column": (
            r"columns: 'weight' is no column of the jets that an array gives",
            plain,
            {"columns": {"weight": "pt"}},
        ),
        "name of a column": (r"cannot be called '1st'", plain, {"columns": {"1st": "pt"}}),
    }  # fmt: skip


@pytest.mark.parametrize("fault", refusals())
def test_what_is_no_array_of_jets_is_refused(fault: str) -> None:
    message, array, arguments = refusals()[fault]
    with pytest.raises(DataError, match=message):
        from_awkward(array, **arguments)


def test_a_unit_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="unit is 'TeV'; allowed are GeV, MeV"):
        from_awkward(changed(), unit="TeV")  # type: ignore[arg-type]


def test_the_check_of_the_unit_can_be_left_out() -> None:
    hard = changed(pt=changed().pt * 1000)
    assert from_awkward(hard, check_unit=False).jets.pt.max() > 100_000


def test_a_jet_that_does_not_count_may_be_anything() -> None:
    array = with_one("pt", np.nan)
    assert from_awkward(array, mask=array.pt > 0).jets.n_jets == 4


@pytest.mark.parametrize(
    ("shape", "points", "message"),
    [
        ((4,), None, r"the values have shape \(4,\); one for each of the 5 jets"),
        ((2, 5), None, r"shape \(2, 5\)"),
        ((5, 1, 1), None, r"shape \(5, 1, 1\)"),
        ((5, 2), ("a",), r"are 2 for each jet, and the names \['a'\]"),
        ((5, 2), ("a", "a"), r"name each of them once"),
        ((5,), ("a", "b"), r"are 1 for each jet"),
    ],
)
def test_values_of_other_jets_are_refused(shape: Any, points: Any, message: str) -> None:
    like = from_awkward(changed())
    with pytest.raises(DataError, match=message):
        to_awkward(np.zeros(shape), like, points)


def test_an_array_of_other_jets_is_not_brought_to_these() -> None:
    like = from_awkward(changed())
    with pytest.raises(DataError, match=r"the array has 2 values in event 0, which has 3 jets"):
        like.flat(changed().pt[:, :2])
    with pytest.raises(DataError, match=r"sf is None in event 0, jet 1"):
        like.flat([[1.0, None, 2.0], [1.0, 1.0]], "sf")
    masked = from_awkward(changed(), mask=[[True, False, True], [True, True]])
    assert len(masked.flat([[1.0, None, 2.0], [1.0, 1.0]], "sf")) == 4


def test_without_awkward_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    array = {name: [[1.0]] for name in FIELDS}
    monkeypatch.setitem(sys.modules, "awkward", None)
    with pytest.raises(ConfigError, match=r"pip install truthtag\[readers\]"):
        from_awkward(array)


def test_what_comes_back_does_not_change() -> None:
    like = from_awkward(changed())
    assert isinstance(like, AwkwardJets)
    with pytest.raises(AttributeError):
        like.rows = like.rows  # type: ignore[misc]
