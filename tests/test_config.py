"""The config at the door."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT
from truthtag.data.axes import edges_of
from truthtag.errors import ConfigError
from truthtag.workflow.options import (
    PAPER_FIGURES,
    TRUST_FIGURES,
    check_config,
    first_events,
    standard_figures,
)

Config = dict[str, Any]

BAD: list[tuple[str, Callable[[Config], Any], str]] = [
    (
        "unknown key",
        lambda c: c["networks"]["gnn"]["architecture"].update(widht=64),
        r"networks\.gnn\.architecture: unknown key 'widht'\. Allowed: .*Did you mean 'width'\?",
    ),
    (
        "unknown top key",
        lambda c: c.update(smaples={}),
        r"the config: unknown key 'smaples'.*Did you mean 'samples'\?",
    ),
    (
        "negative width",
        lambda c: c["networks"]["gnn"]["architecture"].update(width=-64),
        r"networks\.gnn\.architecture\.width: -64 is not allowed; it must be at least 4\. Size of the jet",
    ),
    (
        "width of 6",
        lambda c: c["networks"]["gnn"]["architecture"].update(width=6),
        r"architecture\.width: 6 is not allowed; it must be a multiple of 4",
    ),
    (
        "edge out of order",
        lambda c: c["maps"]["map"].update(pt=[20, 100, 50, 600]),
        r"maps\.map\.pt: edge 2 is 50\.0, not above the edge before it, 100\.0; put them in rising order",
    ),
    (
        "axis upside down",
        lambda c: c["figures"]["axes"]["m_jj"].update(low=900),
        r"figures\.axes\.m_jj: edge 1 is .* not above the edge before it, 900\.0",
    ),
    (
        "no such generator",
        lambda c: c["samples"]["test"].update(generator="mulitjet"),
        r"samples\.test\.generator: 'mulitjet' is not a generator\. Allowed: multijet, boson\. Did you mean 'multijet'",
    ),
    (
        "no generator",
        lambda c: c["samples"]["test"].pop("generator"),
        r"samples\.test: key 'generator' is missing",
    ),
    ("no training sample", lambda c: c["samples"].pop("train"), r"samples: key 'train' is missing"),
    (
        "text for a number",
        lambda c: c.update(seed="one"),
        r"seed: 'one' is not allowed; it must be of type integer",
    ),
    (
        "unknown process",
        lambda c: c["generators"]["multijet"].update(process="trijet"),
        r"generators\.multijet\.process: 'trijet' is not allowed; allowed are multijet, boson",
    ),
    (
        "option of another process",
        lambda c: c["generators"]["boson"].update(minimum_jets=2),
        r"generators\.boson: unknown key 'minimum_jets'",
    ),
    (
        "flavour without truth",
        lambda c: c["truth"]["base"].pop("c"),
        r"truth\.base: must have an entry for each of b, c, light; missing: c, unknown: none",
    ),
    (
        "form without its option",
        lambda c: c["truth"].update(form="nearest_neighbour"),
        r"truth\.pt_half: nearest_neighbour needs it",
    ),
    (
        "option of no form",
        lambda c: c["truth"].update(pt_half=100),
        r"truth\.pt_half: .*no other form has it",
    ),
    (
        "unknown jet to read",
        lambda c: c["figures"]["reading"].update(flavour="tau"),
        r"figures\.reading\.flavour: 'tau' is not a flavour",
    ),
    (
        "unknown edge feature",
        lambda c: c["networks"]["gnn_geometric"]["architecture"].update(edge_features=["mass"]),
        r"edge_features\.0: 'mass' is not allowed; allowed are delta_eta, delta_phi, delta_r",
    ),
    (
        "two flavours alike",
        lambda c: c["flavours"].update(c=5),
        r"flavours: two names share a number",
    ),
    (
        "efficiency above 1",
        lambda c: c["truth"]["base"]["b"].update(amplitude=1.2),
        r"truth\.base\.b\.amplitude: 1\.2 is not allowed; it must be at most 1",
    ),
    (
        "interval upside down",
        lambda c: c["generators"]["multijet"]["pt"].update(low=700),
        r"generators\.multijet\.pt: low is 700 and high is 600\.0; low must be below high",
    ),
    (
        "one name twice",
        lambda c: c["networks"].update(map=c["networks"]["gnn"]),
        r"networks\.map: a map has this name too",
    ),
    (
        "reserved name",
        lambda c: c["maps"].update(true=c["maps"]["map"]),
        r"maps\.true: this name is taken",
    ),
    (
        "unknown policy",
        lambda c: c["maps"]["map"].update(outside="wrap"),
        r"maps\.map\.outside: 'wrap' is not allowed; allowed are clamp, error",
    ),
    (
        "unknown flavour in figure 1",
        lambda c: c["figures"].update(weighting_flavours=["c", "s"]),
        r"figures\.weighting_flavours: 's' is not a flavour\. Allowed: b, c, light",
    ),
    (
        "unknown flavour that keeps its tag",
        lambda c: c["weights"].update(direct=["bottom"]),
        r"weights\.direct: 'bottom' is not a flavour\. Allowed: b, c, light",
    ),
    (
        "unknown figure",
        lambda c: c["figures"].update(draw=["fig1", "leraning_curve"]),
        r"figures\.draw\.1: 'leraning_curve' is not a figure\. Allowed: fig1, .*, work, repeated\. Did you mean 'learning_curve'\?",
    ),
    (
        "factors of a network that has none",
        lambda c: c["figures"].update(draw=["fig3_gnn"]),
        r"figures\.draw\.0: 'fig3_gnn' .*fig8, calibration, coverage, fig3_gnn_factorised, training, learning_curve, work, ",
    ),
    (
        "no figure",
        lambda c: c["figures"].update(draw=[]),
        r"figures\.draw: \[\] is not allowed; .*Figures to draw",
    ),
    (
        "a curve without points",
        lambda c: c["figures"].update(draw=["learning_curve"]),
        r"figures\.draw: learning_curve needs the section learning_curve, which is missing; give its points as",
    ),
    (
        "losses of another kind",
        lambda c: (
            c["figures"].update(draw=["work"]),
            c["networks"]["gnn"]["training"].update(mu=2),
        ),
        r"networks\.gnn\.training\.mu: 2 cannot be drawn in the figure work.*set it to 1",
    ),
    (
        "losses of nothing",
        lambda c: c.update(networks={}, figures={**c["figures"], "draw": ["work"]}),
        r"figures\.draw: work shows the training of networks, and there are none",
    ),
    (
        "more events than there are",
        lambda c: c.update(learning_curve={"points": [{"events": 10}, {"events": 100_001}]}),
        r"learning_curve\.points\.1\.events: 100001 is more than samples\.train\.events, 100000; lower it",
    ),
    (
        "points that fall",
        lambda c: c.update(learning_curve={"points": [{"events": 10}, {"events": 10}]}),
        r"learning_curve\.points\.1\.events: 10 is not above the point before it, 10; put them in rising order",
    ),
    (
        "unknown sample of the curve",
        lambda c: c.update(learning_curve={"sample": "tset", "points": [{"events": 10}]}),
        r"learning_curve\.sample: 'tset' is not a sample\. Allowed: .*Did you mean 'test'\?",
    ),
    (
        "unknown option of a point",
        lambda c: c.update(learning_curve={"points": [{"events": 10, "training": {"epoch": 3}}]}),
        r"learning_curve\.points\.0\.training: unknown key 'epoch'.*Did you mean 'epochs'\?",
    ),
    (
        "bad option of a point",
        lambda c: c.update(learning_curve={"points": [{"events": 10, "training": {"epochs": 0}}]}),
        r"learning_curve\.points\.0\.training\.epochs: 0 is not allowed; it must be at least 1",
    ),
    (
        "nothing but a rise",
        lambda c: c["networks"]["gnn"]["training"].update(warm_up=1),
        r"networks\.gnn\.training\.warm_up: 1 is not allowed; it must be below 1",
    ),
    (
        "spread measured on no sample",
        lambda c: c["uncertainty"].update(sample="valdation"),
        r"uncertainty\.sample: 'valdation' is not allowed; it must be one of validation$",
    ),
    (
        "spread measured where it was learned",
        lambda c: c["uncertainty"].update(sample="train"),
        r"uncertainty\.sample: 'train' is not allowed; it must be one of validation$",
    ),
    (
        "spread measured where closure is tested",
        lambda c: c["uncertainty"].update(sample="boson"),
        r"uncertainty\.sample: 'boson' is not allowed; it must be one of validation$",
    ),
    (
        "spread measured on too many samples",
        lambda c: c["uncertainty"].update(sample=["test", "boson"]),
        r"uncertainty\.sample: \['test', 'boson'\] is not allowed; it must be of type string\. Sample whose tags tell",
    ),
    (
        "a prior of no width",
        lambda c: c["uncertainty"].update(prior=0),
        r"uncertainty\.prior: 0 is not allowed; it must be above 0\. How far the logarithm",
    ),
    (
        "no region",
        lambda c: c["uncertainty"].update(regions=0),
        r"uncertainty\.regions: 0 is not allowed; it must be at least 1",
    ),
    (
        "fewer reference jets than neighbours",
        lambda c: c["domain"].update(reference=9),
        r"domain\.reference: 9 is less than domain\.neighbours, 10; raise it",
    ),
    (
        "everything flagged",
        lambda c: c["domain"].update(flagged=1),
        r"domain\.flagged: 1 is not allowed; it must be below 1\. Share of the jets of `validation`",
    ),
    (
        "unknown key of the domain",
        lambda c: c["domain"].update(neighbors=10),
        r"domain: unknown key 'neighbors'\. Allowed: flagged, neighbours, reference\. Did you mean 'neighbours'\?",
    ),
    (
        "unknown efficiency in figures",
        lambda c: c["figures"].update(efficiencies=["map", "gnn_geometrical"]),
        r"figures\.efficiencies\.1: 'gnn_geometrical' is not an eff.* Allowed: map, smoothed, .* mean 'gnn_geometric'\?",
    ),
    (
        "the truth among efficiencies of figures",
        lambda c: c["figures"].update(efficiencies=["true"]),
        r"figures\.efficiencies\.0: 'true' is not an efficiency\. Allowed: map, [^?]*$",
    ),
    (
        "no efficiency in figures",
        lambda c: c["figures"].update(efficiencies=[]),
        r"figures\.efficiencies: \[\] is not allowed; .*Efficiencies that figures of jets and events show",
    ),
    (
        "bins of calibration",
        lambda c: c["figures"].update(calibration_bins=0),
        r"figures\.calibration_bins: 0 is not allowed; it must be at least 1",
    ),
    (
        "an axis of the coverage figure",
        lambda c: c["figures"]["axes"].pop("coverage_pt"),
        r"figures\.axes: key 'coverage_pt' is missing",
    ),
    (
        "closure required of an unknown sample",
        lambda c: c["closure"].update(required=[{"sample": "test"}, {"sample": "bosn"}]),
        r"closure\.required\.1\.sample: 'bosn' is unknown\. Allowed: train, validation, test, boson\. Did you .* 'boson'\?",
    ),
    (
        "closure required of an unknown efficiency",
        lambda c: c["closure"].update(required=[{"efficiency": "gmn"}]),
        r"closure\.required\.0\.efficiency: 'gmn' is unknown\. Allowed: true, map, smoothed, .*Did you mean 'gnn'\?",
    ),
    (
        "closure required by an unknown key",
        lambda c: c["closure"].update(required=[{"efficency": "gnn"}]),
        r"closure\.required\.0: unknown key 'efficency'\. Allowed: sample, figure, panel, events, .* mean 'efficiency'\?",
    ),
    (
        "closure required in an unknown figure",
        lambda c: c["closure"].update(required=[{"figure": "fig1"}]),
        r"closure\.required\.0\.figure: 'fig1' is not allowed; allowed are fig6, fig7, fig8\. Figure; any by default",
    ),
    (
        "closure required of unknown events",
        lambda c: c["closure"].update(required=[{"events": "inside"}]),
        r"closure\.required\.0\.events: 'inside' is not allowed; allowed are all, in_domain\.",
    ),
    (
        "closure required of nothing",
        lambda c: c["closure"].update(required=[{}]),
        r"closure\.required\.0: \{\} is not allowed",
    ),
    (
        "a p-value of 0",
        lambda c: c["closure"].update(p_value=0),
        r"closure\.p_value: 0 is not allowed; it must be above 0\. Smallest p-value of a histogram that closes",
    ),
    (
        "a p-value of 1",
        lambda c: c["closure"].update(p_value=1),
        r"closure\.p_value: 1 is not allowed; it must be below 1",
    ),
    (
        "one replica",
        lambda c: c["maps"]["smoothed"].update(replicas=1),
        r"maps\.smoothed\.replicas: 1 is not allowed; it must be at least 2\. Fits to events drawn with replacement",
    ),
    (
        "half a bootstrap",
        lambda c: c["networks"]["gnn"]["training"].update(bootstrap=0.5),
        r"networks\.gnn\.training\.bootstrap: 0\.5 is not allowed; it must be of type boolean\. Train each network",
    ),
    (
        "more repeated events than there are",
        lambda c: c.update(repeated={"samples": 11, "events": 10_000}),
        r"repeated: 11 samples of 10000 events are more than samples\.train\.events, 100000; make the sample longer",
    ),
    (
        "one repeated sample",
        lambda c: c.update(repeated={"samples": 1, "events": 10}),
        r"repeated\.samples: 1 is not allowed; it must be at least 2\. Number of training samples",
    ),
    (
        "repeated samples that are not there",
        lambda c: c["figures"].update(draw=["repeated"]),
        r"figures\.draw: repeated needs the section repeated, which is missing; give it as config/studies/repeated\.yaml",
    ),
    (
        "null for what is needed",
        lambda c: c["samples"].update(test=None),
        r"samples: key 'test' is missing",
    ),
    (
        "null for what is unknown",
        lambda c: c.update(sede=None),
        r"the config: unknown key 'sede'.*Did you mean 'seed'",
    ),
]


@pytest.mark.parametrize(("what", "spoil", "message"), BAD, ids=[b[0] for b in BAD])
def test_bad_configs_are_refused_by_path(
    what: str,
    spoil: Callable[[Config], Any],
    message: str,
    default_config: Config,
    schema: Config,
) -> None:
    config = copy.deepcopy(default_config)
    spoil(config)
    with pytest.raises(ConfigError, match=message):
        check_config(config, schema)


def test_all_faults_are_told_at_once(default_config: Config, schema: Config) -> None:
    config = copy.deepcopy(default_config)
    config["seed"], config["events_per_shard"] = -1, 0
    with pytest.raises(
        ConfigError, match=r"(?s)2 fault\(s\); nothing was started.*events_per_shard: 0.*seed: -1"
    ):
        check_config(config, schema)


def test_defaults_are_filled_in_at_every_depth(default_config: Config, schema: Config) -> None:
    config = copy.deepcopy(default_config)
    del config["events_per_shard"]
    del config["maps"]["map"]["outside"]
    config["networks"]["gnn"]["training"] = {"epochs": 1, "batch_events": 10, "learning_rate": 0.1}
    filled = check_config(config, schema)
    assert filled["events_per_shard"] == 50_000
    assert filled["maps"]["map"]["outside"] == "clamp"
    assert filled["networks"]["gnn"]["training"]["mu"] == 1.0
    assert "mu" not in config["networks"]["gnn"]["training"]


def test_what_judges_efficiencies_has_defaults(default_config: Config, schema: Config) -> None:
    config = copy.deepcopy(default_config)
    for section in ("domain", "uncertainty"):
        del config[section]
    for key in ("minimum_variance", "p_value", "required"):
        del config["closure"][key]
    for key in ("efficiencies", "calibration_bins"):
        del config["figures"][key]
    del config["maps"]["map"]["replicas"]
    del config["networks"]["gnn"]["training"]["bootstrap"]
    filled = check_config(config, schema)
    assert filled["domain"] == {"flagged": 0.005, "neighbours": 10, "reference": 20_000}
    assert filled["uncertainty"] == {
        "sample": "validation",
        "regions": 32,
        "prior": 0.3,
        "largest": 2.0,
    }
    assert filled["closure"]["minimum_variance"] == 10
    assert filled["closure"]["p_value"] == 0.01
    assert filled["closure"]["required"] == []
    assert filled["figures"]["calibration_bins"] == 12
    assert "efficiencies" not in filled["figures"]
    assert filled["maps"]["map"]["replicas"] == 20
    assert filled["networks"]["gnn"]["training"]["bootstrap"] is False
    assert "repeated" not in filled


def test_the_ends_of_what_is_allowed_are_allowed(default_config: Config, schema: Config) -> None:
    config = copy.deepcopy(default_config)
    config["samples"]["further"] = {"generator": "multijet", "events": 1000}
    config["uncertainty"]["sample"] = "further"
    config["domain"].update(neighbours=7, reference=7)
    config["figures"].update(
        efficiencies=["mlp", "map"], draw=["repeated", "coverage", "calibration"]
    )
    required = [
        {"efficiency": "true"},
        {"sample": "test", "figure": "fig7", "panel": "b-b", "events": "in_domain"},
    ]
    config["closure"].update(p_value=0.5, required=required)
    config["repeated"] = {"samples": 2, "events": 50_000}
    config["maps"]["map"]["replicas"] = 2
    filled = check_config(config, schema)
    assert filled["closure"]["required"] == required
    assert filled["repeated"] == {"samples": 2, "events": 50_000}


def test_faults_of_what_judges_efficiencies_are_told_together(
    default_config: Config, schema: Config
) -> None:
    config = copy.deepcopy(default_config)
    config["uncertainty"]["sample"] = "train"
    config["domain"]["reference"] = 3
    config["closure"]["required"] = [{"sample": "x", "efficiency": "y"}]
    with pytest.raises(ConfigError) as refused:
        check_config(config, schema)
    known = "true, map, smoothed, delta_r, mlp, gnn, gnn_geometric, gnn_factorised"
    assert str(refused.value).splitlines() == [
        "the config has 4 fault(s); nothing was started:",
        f"  closure.required.0.efficiency: 'y' is unknown. Allowed: {known}",
        "  closure.required.0.sample: 'x' is unknown. Allowed: train, validation, test, boson",
        "  domain.reference: 3 is less than domain.neighbours, 10; raise it",
        "  uncertainty.sample: 'train' is not allowed; it must be one of validation",
    ]


def test_null_removes_an_entry(default_config: Config, schema: Config) -> None:
    config = copy.deepcopy(default_config)
    config["networks"]["gnn"] = config["maps"]["map"] = config["networks"]["gnn_geometric"][
        "training"
    ]["mu"] = None
    with pytest.raises(
        ConfigError,
        match=r"figures\.efficiencies\.0: 'map' is not an efficiency\. Allowed: smoothed, ",
    ):
        check_config(config, schema)
    config["figures"]["efficiencies"] = None
    filled = check_config(config, schema)
    assert list(filled["networks"]) == ["mlp", "gnn_geometric", "gnn_factorised"]
    assert list(filled["maps"]) == ["smoothed", "delta_r"]
    assert "efficiencies" not in filled["figures"]
    assert filled["networks"]["gnn_geometric"]["training"]["mu"] == 1.0
    assert config["networks"]["gnn"] is None
    assert filled["samples"] == default_config["samples"]


def test_null_lets_an_entry_become_of_another_kind(default_config: Config, schema: Config) -> None:
    options = dict.fromkeys(default_config["maps"]["map"]) | {"kind": "delta_r"}
    options |= {axis: {"bins": 2, "low": 0, "high": 600} for axis in ("pt", "eta", "delta_r")}
    figures = {
        key: value for key, value in default_config["figures"].items() if key != "efficiencies"
    }
    filled = check_config({**default_config, "maps": {"map": options}, "figures": figures}, schema)
    assert set(filled["maps"]["map"]) == {
        "kind",
        "pt",
        "eta",
        "delta_r",
        "outside",
        "coverage",
        "replicas",
    }
    assert filled["maps"]["map"]["outside"] == "clamp"


def test_points_of_the_learning_curve_override_only_what_they_state(
    default_config: Config, schema: Config
) -> None:
    points = [{"events": 1000, "training": {"epochs": 7}}, {"events": 3000}]
    filled = check_config({**default_config, "learning_curve": {"points": points}}, schema)
    assert filled["learning_curve"] == {"sample": "test", "points": points}


def test_validation_scales_with_the_training_sample(default_config: Config) -> None:
    assert first_events(default_config, 100_000) == {"train": 100_000, "validation": 20_000}
    assert first_events(default_config, 1_000) == {"train": 1_000, "validation": 200}
    assert first_events(default_config, 1) == {"train": 1, "validation": 1}


def test_the_standard_figures_are_those_that_can_be_drawn(default_config: Config) -> None:
    always = [*PAPER_FIGURES, *TRUST_FIGURES]
    assert always[-2:] == ["calibration", "coverage"]
    assert standard_figures(default_config) == [*always, "fig3_gnn_factorised", "training"]
    assert standard_figures({"networks": {}}) == always


def test_every_key_is_described(schema: Config) -> None:
    def described(part: Config, path: str) -> None:
        for key, inner in part.get("properties", {}).items():
            assert (
                "description" in inner
                or "$ref" in inner
                or "const" in inner
                or inner["type"] == "object"
            ), path + key
            described(inner, f"{path}{key}.")
        if isinstance(part.get("additionalProperties"), dict):
            described(part["additionalProperties"], path)

    described(schema, "")
    for name, part in schema["$defs"].items():
        described(part, f"{name}.")


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("**/*.yaml")), ids=lambda p: p.stem)
def test_configs_of_the_project_state_only_what_differs_and_are_valid(
    path: Path, default_config: Config, schema: Config
) -> None:
    def merged(base: Config, over: Config) -> Config:
        nested = {
            key
            for key, value in over.items()
            if isinstance(value, dict) and isinstance(base.get(key), dict)
        }
        return {**base, **over, **{key: merged(base[key], over[key]) for key in nested}}

    config = yaml.safe_load(path.read_text())
    filled = check_config(merged(default_config, config), schema)
    assert path.name == "config.yaml" or filled["results"].startswith("results/")


def test_results_folders_differ() -> None:
    folders = [
        yaml.safe_load(p.read_text())["results"] for p in (ROOT / "config").glob("**/*.yaml")
    ]
    assert len(set(folders)) == len(folders)


def test_axes_can_be_lists_or_equal_bins() -> None:
    assert edges_of([0, 1, 5]) == [0, 1, 5]
    assert edges_of({"bins": 3, "low": -1, "high": 0.5}) == [-1, -0.5, 0, 0.5]
