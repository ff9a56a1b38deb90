"""Varied jets: in one call at the analyst's desk, and as samples of the workflow."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from estimator_kinds import fit
from nano import nano_thresholds, write_nano
from test_awkward_arrays import FromEverything, array_of, mask_of, shuffled
from workplace import Workplace

from conftest import ROOT, make_jets
from truthtag.arrays import FloatArray
from truthtag.data.files import read_frame
from truthtag.data.jets import Jets, read_jets
from truthtag.data.labels import Labels
from truthtag.data.readers.convert import convert
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.cross_fitting import CrossFitted, Folds
from truthtag.estimators.ensemble import Ensemble
from truthtag.estimators.knowledge import labels_of
from truthtag.estimators.predictions import predict
from truthtag.weights.events import weights_table
from truthtag.weights.tag_counts import tag_counts
from truthtag.weights.varied import varied_jets, varied_weights
from truthtag.workflow.bases import on_base
from truthtag.workflow.layout import Layout
from truthtag.workflow.options import Config, check_config
from truthtag.workflow.sample_files import check_files, files_of

ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")

# ---- at the analyst's desk


def selected(jets: Any) -> Any:
    return (jets["pt"] > 100) & (abs(jets["eta"]) < 2)


def by_hand(array: Any, model: Any, **fields: Any) -> Any:
    """Weights of events with other values in some fields, one event and one jet after the other."""
    probabilities = []
    columns = {name: fields.get(name, array[name]) for name in ak.fields(array)}
    for event in ak.zip(columns).tolist():
        kept = [jet for jet in event if jet["pt"] > 100 and abs(jet["eta"]) < 2]
        kept.sort(key=lambda jet: -jet["pt"])
        exactly = [1.0, 0.0, 0.0]
        if kept:
            flat = {name: np.array([jet[name] for jet in kept]) for name in kept[0]}
            one = {"event": np.zeros(len(kept), dtype=int), "weight": np.ones(len(kept))}
            for chance in model.efficiency(Jets.from_columns({**one, **flat})):
                none, single, double = exactly
                exactly = [
                    none * (1 - chance),
                    single * (1 - chance) + none * chance,
                    double * (1 - chance) + single * chance,
                ]
        probabilities.append(exactly)
    return np.array(probabilities)


def test_varied_weights_are_those_of_varied_jets_by_hand() -> None:
    array = array_of([3, 0, 5, 1, 7, 2] * 5, seed=2)
    variations = {
        "jes_up": {"pt": array.pt * 1.1 + 5.0, "mass": array.mass * 1.1},
        # Every jet by itself: their order changes.
        "jer": {"pt": array.pt * np.where(mask_of(array), 1.6, 0.7)},
        "shifted": {"eta": array.eta + 0.3},
    }
    model = FromEverything()
    found = varied_weights(model, array, variations, tags=2, select=selected)
    assert list(found) == ["nominal", "jes_up", "jer", "shifted"]
    for name, table in found.items():
        expected = by_hand(array, model, **variations.get(name, {}))
        assert table["event"].tolist() == list(range(len(array)))
        exactly = table[["p_tag_0", "p_tag_1", "p_tag_2"]].to_numpy()
        np.testing.assert_allclose(exactly, expected, atol=1e-6)
        # Single precision where a table of jets is made by hand.
        np.testing.assert_allclose(table["p_tag_ge_1"], 1 - expected[:, 0], atol=1e-6)
    assert all((found[name]["p_tag_0"] != found["nominal"]["p_tag_0"]).any() for name in variations)


def test_the_order_of_jets_changes_no_weight(few: Jets) -> None:
    array = array_of([3, 0, 5, 1, 7, 2] * 5, seed=4)
    other, order = shuffled(array)
    change = ak.unflatten(np.random.default_rng(1).normal(1, 0.3, 90), ak.num(array))
    for model in (FromEverything(), fit("binned", few), fit("nearest_jet", few)):
        one = varied_weights(model, array, {"jer": {"pt": array.pt * change}}, tags=2)
        varied = {"jer": {"pt": other.pt * change[order]}}
        two = varied_weights(model, other, varied, tags=2)
        for name in ("nominal", "jer"):
            pd.testing.assert_frame_equal(one[name], two[name], rtol=1e-12)


def test_a_variation_brings_jets_and_takes_them() -> None:
    array = {"pt": [[95.0, 150.0], [105.0]], "eta": [[0.0, 1.0], [0.0]], "flavour": [[5, 5], [5]]}
    array |= {"phi": [[0.0, 2.0], [0.0]], "mass": [[2.0, 2.0], [2.0]]}
    scale = {"up": {"pt": [[104.0, 165.0], [115.0]]}, "down": {"pt": [[86.0, 135.0], [94.0]]}}

    def hard(jets: Any) -> Any:
        return ak.Array(jets["pt"]) > 100

    found = dict(varied_jets(array, scale, select=hard, weight=[2.0, -1.0]))
    counts = {name: one.jets.multiplicity.tolist() for name, one in found.items()}
    assert counts == {"nominal": [1, 1], "up": [2, 1], "down": [1, 0]}
    # The same efficiency for all jets, so that only their number counts.
    tables = varied_weights(OfFold(3), array, scale, tags=2, select=hard, weight=[2, -1])
    one = [table["p_tag_ge_1"].tolist() for table in tables.values()]
    np.testing.assert_allclose(one, [[0.4, 0.4], [0.64, 0.4], [0.4, 0.0]])
    assert tables["down"]["weight"].tolist() == [2, -1]
    leading = varied_weights(OfFold(3), array, scale, tags=2, select=hard, leading=1)
    np.testing.assert_allclose(leading["up"]["p_tag_ge_1"], [0.4, 0.4])


def test_further_columns_vary_and_fields_have_names() -> None:
    array = array_of([2, 1])
    array["tracks"] = [[1, 2], [3]]
    array["tracks_up"] = [[4, 5], [6]]
    columns = {"n_tracks": "tracks"}
    found = dict(varied_jets(array, {"up": {"n_tracks": "tracks_up"}}, columns=columns))
    by_name = {
        name: one.flat([[0, 1], [2]]).tolist() for name, one in found.items()
    }  # the order is that of pt in both
    assert by_name["nominal"] == by_name["up"]
    tracks = {name: sorted(one.jets.further["n_tracks"]) for name, one in found.items()}
    assert tracks == {"nominal": [1, 2, 3], "up": [4, 5, 6]}
    # A selection sees what a variation changes, by the name of the field.
    chosen = dict(
        varied_jets(
            array,
            {"up": {"n_tracks": "tracks_up"}},
            columns=columns,
            select=lambda jets: jets.tracks > 3,
        )
    )
    assert [one.jets.n_jets for one in chosen.values()] == [0, 3]


class TwoPoints:
    """An efficiency at two working points; its members know their names."""

    points = ("loose", "tight")

    def efficiency(self, jets: Jets) -> FloatArray:
        loose = FromEverything().efficiency(jets)
        return np.column_stack([loose, loose / 2])


def test_working_points_are_those_of_the_model() -> None:
    array = array_of([2, 3])
    ensemble = Ensemble([TwoPoints(), TwoPoints()])
    assert labels_of(ensemble).points == labels_of(TwoPoints()).points == ("loose", "tight")
    assert labels_of(FromEverything()).points == ()
    for model in (TwoPoints(), ensemble):
        table = varied_weights(model, array, tags=1)["nominal"]
        assert list(table)[2:] == [
            *("p_tag_0_loose", "p_tag_1_loose", "p_tag_ge_1_loose"),
            *("p_tag_0_tight", "p_tag_1_tight", "p_tag_ge_1_tight"),
        ]
        one = varied_weights(FromEverything(), array, tags=1)["nominal"]
        np.testing.assert_allclose(table["p_tag_0_loose"], one["p_tag_0"])
    # Labels that name no points get those of the model.
    labels = Labels(flavours=(0, 4, 5))
    labelled = varied_weights(TwoPoints(), array, tags=1, labels=labels)["nominal"]
    assert list(labelled) == list(table)
    with pytest.raises(DataError, match=r"no working point 'medium'"):
        varied_weights(TwoPoints(), array, tags=1, labels=Labels(points=("medium", "tight")))


class OfFold:
    """An efficiency that says which fold it did not see: 0.1 for the first, 0.2 for the next."""

    def __init__(self, fold: int) -> None:
        self.fold = fold

    def efficiency(self, jets: Jets) -> FloatArray:
        return np.full(jets.n_jets, (1 + self.fold) / 10)


def test_varied_events_of_the_training_sample_are_weighted_by_what_did_not_see_them() -> None:
    parts = [Ensemble([OfFold(fold)]) for fold in range(3)]
    held_out = CrossFitted(Folds(3), parts).held_out
    array = array_of([1, 1, 1, 0, 1])
    up = {"up": {"pt": array.pt * 2}}
    found = varied_weights(held_out, array, up, tags=1, event_number=[3, 4, 5, 6, 11])
    for table in found.values():
        np.testing.assert_allclose(table["p_tag_1"], [0.1, 0.2, 0.3, 0.0, 0.3])


@pytest.mark.parametrize(
    ("variations", "error", "message"),
    [
        ({"nominal": {"pt": [[1.0]]}}, ConfigError, r"'nominal' is the name of the jets as they"),
        ({"up": {}}, ConfigError, r"'up' changes no column; name one"),
        ({"up": {"fhi": 1}}, ConfigError, r"changes 'fhi', .* Allowed: pt, .*mean 'phi'"),
        ({"up": {"weight": [1.0]}}, ConfigError, r"'up' changes 'weight'"),
        ({"up": {"pt": [[50.0], [60.0]]}}, DataError, r"'pt' are nested otherwise than the jets"),
        ({"up": {"pt": [50.0, 60.0]}}, DataError, r"pt has one value per event"),
        ({"up": {"pt": "ptt"}}, DataError, r"no field 'ptt', which is stated for 'pt'.*mean 'pt'"),
    ],
)
def test_variations_that_cannot_be_are_refused(
    variations: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        varied_weights(
            FromEverything(), array_of([3, 2]), variations, tags=1, select=lambda jets: jets.pt > 0
        )


# ---- in the workflow

VARIATIONS: dict[str, Any] = {
    "jes_up": {"pt": "Jet_pt * 1.4", "mass": "Jet_mass * 1.4"},
    "jes_down": {"pt": "Jet_pt * 0.7"},
}


def stated(variations: Any = VARIATIONS, **more: Any) -> dict[str, Any]:
    """A config that reads two samples, of which one has variations."""
    one = {"reader": "cms", "files": "data/ttbar.root", "group": "top", "variations": variations}
    return {
        "base": "samples",
        "readers": {
            "cms": {
                "format": "nanoaod",
                "discriminant": "Jet_btag",
                "pt": [20.0, None],
                "abs_eta": [None, 2.5],
                "columns": {"pt": "Jet_pt * 1", "n": "Jet_n"},
            }
        },
        "groups": {"top": {"weight": 2.0}},
        "working_points": {"medium": nano_thresholds()[0]},
        "inputs": {"n": {"branch": "Jet_other"}},
        "samples": {"ttbar": one, "other": {"reader": "cms", "files": "data/other.root"}},
        "roles": {"train": "ttbar", "validation": "ttbar", "judged": ["ttbar"], "folds": 3},
        "estimators": {"map": {"replicas": 2}, "gnn_geometric": None, "gnn_factorised": None},
        **more,
    }


def checked(raw: dict[str, Any]) -> Config:
    return check_config(on_base(raw, ROOT / "config"))


def test_a_variation_becomes_a_sample_beside_its_own() -> None:
    config = checked(stated())
    assert list(config.samples) == ["ttbar", "ttbar_jes_up", "ttbar_jes_down", "other"]
    for name in ("jes_up", "jes_down"):
        made = config.samples[f"ttbar_{name}"]
        assert made == config.samples["ttbar"].model_copy(update={"variations": {}})
        reader = config.reader_of(f"ttbar_{name}")
        assert reader is not None
        assert reader.columns == {"pt": "Jet_pt * 1", "n": "Jet_n", **VARIATIONS[name]}
        usual = config.readers["cms"]
        assert reader.model_copy(update={"columns": usual.columns}) == usual
    assert config.reader_of("other") == config.reader_of("ttbar") == config.readers["cms"]
    assert config.nominal_of("ttbar_jes_up") == config.nominal_of("ttbar") == "ttbar"
    assert config.nominal_of("other") == "other"
    assert config.roles == checked(stated({})).roles


def test_variations_of_training_samples_are_held_out() -> None:
    config = checked(stated())
    held_out = [name for name in config.samples if config.is_held_out(name)]
    assert held_out == ["ttbar", "ttbar_jes_up", "ttbar_jes_down"]
    roles = {"train": "ttbar", "validation": "other", "judged": ["third"]}
    third = {"third": {"reader": "cms", "files": "data/third.root"}}
    config = checked(stated(roles=roles, samples={**stated()["samples"], **third}))
    assert not any(config.is_held_out(name) for name in config.samples)


def test_a_config_without_variations_is_what_it_was(config: Config) -> None:
    assert all(not one.variations for one in config.samples.values())
    assert config.reader_of("train") is None
    assert not config.is_held_out("train")
    assert list(checked(stated({})).samples) == ["ttbar", "other"]
    # Null takes one back that an earlier config has.
    assert list(checked(stated({"jes_up": None})).samples) == ["ttbar", "other"]


def test_a_checked_config_with_variations_is_a_config() -> None:
    config = checked(stated())
    assert check_config(config.model_dump(mode="json")) == config


def test_a_distribution_and_a_figure_may_be_of_a_variation() -> None:
    mine = {"observable": "pt_1", "tagged": [1], "axis": [20, 50, 600], "sample": "ttbar_jes_up"}
    required = [{"sample": "ttbar_jes_up", "distribution": "mine"}]
    raw = stated(
        distributions={"mine": mine},
        figures={"only": ["closure_mine"]},
        closure={"required": required},
    )
    config = checked(raw)
    assert config.distributions["mine"].sample == "ttbar_jes_up"
    assert config.distributions["ht"].sample == "ttbar"


TTBAR_B = {"ttbar_b": {"reader": "cms", "files": "x", "variations": {"c": {"pt": "Jet_pt"}}}}


@pytest.mark.parametrize(
    ("variations", "changes", "fault"),
    [
        (
            {"x": {"ptt": "Jet_pt"}},
            {},
            r"samples\.ttbar\.variations\.x\.ptt: 'ptt' is no column .*: pt, .*, n\. .* 'pt'\?",
        ),
        ({"x": {"event_number": "e"}}, {}, r"variations\.x\.event_number: 'event_number' is no"),
        ({"x": {"flavour": "e"}}, {}, r"variations\.x\.flavour: 'flavour' is no column that"),
        ({"x": {}}, {}, r"variations\.x: \{\} is not allowed; name a column that varies"),
        ({"x": {"pt": "Jet_pt *"}}, {}, r"variations\.x\.pt: 'Jet_pt \*' is no formula"),
        ({"x": {"pt": 3}}, {}, r"variations\.x\.pt: 3 is not allowed; it must be of type string"),
        ({"x": "Jet_pt"}, {}, r"variations\.x: 'Jet_pt' is not allowed; it must be of type sec"),
        ({"1x": {"pt": "a"}}, {}, r"variations\.1x: this is not allowed as a name"),
        (
            VARIATIONS,
            {"samples": {"ttbar_JES_up": {"reader": "cms", "files": "x"}}},
            r"variations\.jes_up: .* a sample 'ttbar_jes_up', and samples\.ttbar_JES_up has that",
        ),
        (
            {"b_c": {"pt": "a"}},
            {"samples": TTBAR_B},
            r"variations\.c: .* a sample 'ttbar_b_c', and samples\.ttbar\.variations\.b_c has",
        ),
        (
            VARIATIONS,
            {"roles": {"judged": ["ttbar", "ttbar_jes_up"]}},
            r"1 fault.*\n  roles\.judged: 'ttbar_jes_up' is not .* a variation of samples\.ttbar",
        ),
        (
            VARIATIONS,
            {"uncertainty": {"sample": "ttbar_jes_up"}},
            r"uncertainty\.sample: 'ttbar_jes_up' is not allowed",
        ),
        (
            VARIATIONS,
            {"distributions": {"ht": {"sample": "ttbar_jes_upp"}}},
            r"distributions\.ht\.sample: .*Did you mean 'ttbar_jes_up'",
        ),
    ],
)
def test_variations_that_contradict_a_config_are_refused(
    variations: Any, changes: dict[str, Any], fault: str
) -> None:
    raw = copy.deepcopy(stated(variations))
    for section, change in changes.items():
        raw[section] = {**raw.get(section, {}), **change}
    with pytest.raises(ConfigError, match=fault):
        checked(raw)


def test_a_generated_sample_has_no_columns_to_vary(default_config: dict[str, Any]) -> None:
    raw = copy.deepcopy(default_config)
    raw["samples"]["boson"]["variations"] = {"up": {"pt": "pt * 2"}}
    with pytest.raises(ConfigError, match=r"samples\.boson\.variations\.up: a generated sample"):
        check_config(raw)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a file for each sample; one holds 200 events as NanoAOD does."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/other.root").touch()
    pytest.importorskip("uproot", reason="the extra 'readers' is not installed")
    counts = list(np.random.default_rng(3).integers(1, 6, 200))
    jets = make_jets(counts, efficiency_true=None)
    jets = jets.with_columns(further={"n": np.arange(jets.n_jets)}, event=np.arange(200) + 1000)
    write_nano(jets, tmp_path / "data/ttbar.root", np.random.default_rng(5))
    monkeypatch.chdir(tmp_path)
    files_of.cache_clear()
    yield tmp_path
    files_of.cache_clear()


@pytest.mark.usefixtures("data")
def test_a_variation_shares_the_events_of_its_sample_and_no_other_does() -> None:
    check_files(checked(stated()))
    raw = stated()
    raw["samples"]["other"]["files"] = "data/ttbar.root"
    with pytest.raises(ConfigError) as caught:
        check_files(checked(raw))
    assert str(caught.value).count("\n") == 0
    assert "samples.other.files: 'data/ttbar.root' is read by samples.ttbar" in str(caught.value)
    raw["samples"]["ttbar"]["files"] = "data/missing.root"
    with pytest.raises(ConfigError, match=r"^samples\.ttbar\.files: 'data/missing.root'"):
        check_files(checked(raw))


def tables_of(config: Config, model: Any) -> dict[str, pd.DataFrame]:
    """Read, predict and weight each sample of a config, by the functions that the rules call."""
    layout = Layout(config)
    tables = {}
    for name, sample in config.samples.items():
        if name == "other":
            continue
        reader = config.reader_of(name)
        assert reader is not None
        (shard,) = layout.shards(name)
        (events,) = layout.event_files(name)
        for path in (shard, events):
            Path(path).parent.mkdir(parents=True)
        weight = config.groups[sample.group or ""].weight
        arguments = (config.labels, config.working_points, config.inputs, weight, sample.take)
        convert(layout.file(name, 0), reader, *arguments, shard, events, {})
        jets = read_jets(shard)
        counts = tag_counts(jets, predict(model, jets).values, 2)
        tables[name], _ = weights_table(jets, counts, read_frame(events))
    return tables


def test_a_variation_is_weighted_as_at_the_desk_row_by_row(data: Path, few: Jets) -> None:
    import uproot

    config = checked(stated())
    model = fit("nearest_jet", few)
    found = tables_of(config, model)
    with uproot.open("data/ttbar.root") as file:
        names = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_hadronFlavour", "Jet_n")
        branches = file["Events"].arrays([*names, "genWeight", "event"])
    array = ak.zip({name[4:]: branches[name] for name in names})
    desk = varied_weights(
        model,
        array,
        {
            "jes_up": {"pt": array.pt * 1.4, "mass": array.mass * 1.4},
            "jes_down": {"pt": array.pt * 0.7},
        },
        tags=2,
        select=lambda jets: (jets.pt > 20) & (abs(jets.eta) < 2.5),
        weight=2 * branches.genWeight,
        event_number=branches.event,
    )
    nominal = found["ttbar"]
    for name, table in desk.items():
        of_workflow = found["ttbar" if name == "nominal" else f"ttbar_{name}"]
        # A row for each event of the file, the same in all of them.
        assert len(of_workflow) == len(array)
        for column in ("event", "entry", "event_number", "weight"):
            assert np.array_equal(of_workflow[column], nominal[column]), column
        assert np.array_equal(of_workflow["entry"], table["event"])
        for column in ("weight", "p_tag_0", "p_tag_1", "p_tag_2", "p_tag_ge_1", "p_tag_ge_2"):
            np.testing.assert_allclose(table[column], of_workflow[column], rtol=1e-12)
    # Some events have more jets above the threshold, or fewer.
    jets = {name: read_jets(f"results/samples/samples/{name}") for name in found}
    n_jets = [jets[name].n_jets for name in ("ttbar_jes_down", "ttbar", "ttbar_jes_up")]
    assert n_jets[0] < n_jets[1] < n_jets[2]
    assert (found["ttbar_jes_up"]["p_tag_0"] != nominal["p_tag_0"]).any()


@pytest.mark.slow(seconds=10)
def test_the_workflow_plans_variations_as_it_does_samples(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    for name in ("ttbar", "other"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / f"data/{name}.root").touch()
    raw = stated(figures={"only": ["calibration"]})
    raw["estimators"] = {**raw.get("estimators", {}), "additive": None}
    (tmp_path / "config/mine.yaml").write_text(yaml.safe_dump(raw))
    weights = [
        f"results/samples/weights/{name}/map.parquet"
        for name in ("ttbar", "ttbar_jes_up", "ttbar_jes_down")
    ]
    plan = place.plan(*weights, config="config/mine.yaml")
    assert plan == {
        "read_sample": 3,
        "fit_map_without_fold": 3,
        "replicate_map_without_fold": 3,
        "predict": 3,
        "event_weights": 3,
    }
