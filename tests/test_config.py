"""The config: read, checked, refused by path."""

from __future__ import annotations

import copy
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import Field, ValidationError

from conftest import ROOT
from truthtag.data.axes import edges_of
from truthtag.errors import ConfigError
from truthtag.estimators.protocol import ResampledOptions
from truthtag.options import Real
from truthtag.workflow.bases import on_base
from truthtag.workflow.options import Config, check_config, first_events
from truthtag.workflow.schema import config_schema, defaults

Raw = dict[str, Any]

TRACKS: Raw = {"distribution": "poisson", "means": {"b": 9.0, "c": 7.0, "light": 5.0}}


def with_tracks(config: Raw, **changes: Any) -> None:
    """Let jets have tracks, and the truth depend on them; some keys of the truth changed."""
    for generator in config["generators"].values():
        generator["further"] = {"n_tracks": copy.deepcopy(TRACKS)}
    form = {"kind": "step", "at": 7.0, "below": 0.4, "above": 1.0}
    truth = {"kind": "with_variable", "of": config["truth"], "variable": "n_tracks", "form": form}
    config["truth"] = truth | changes


BAD: list[tuple[str, Callable[[Raw], Any], str]] = [
    (
        "unknown key",
        lambda c: c["estimators"]["gnn"]["architecture"].update(widht=64),
        r"estimators\.gnn\.architecture: unknown key 'widht'\. Allowed: .*Did you mean 'width'\?",
    ),
    (
        "unknown top key",
        lambda c: c.update(smaples={}),
        r"the config: unknown key 'smaples'.*Did you mean 'samples'\?",
    ),
    (
        "negative width",
        lambda c: c["estimators"]["gnn"]["architecture"].update(width=-64),
        (
            r"estimators\.gnn\.architecture\.width: -64 is not allowed; it must be at least 4\. "
            r"Size of the jet"
        ),
    ),
    (
        "width of 6",
        lambda c: c["estimators"]["gnn"]["architecture"].update(width=6),
        r"architecture\.width: 6 is not allowed; it must be a multiple of 4",
    ),
    (
        "edge out of order",
        lambda c: c["estimators"]["map"].update(pt=[20, 100, 50, 600]),
        (
            r"estimators\.map\.pt: edge 2 is 50\.0, not above the edge before it, 100\.0; put "
            r"them in rising order"
        ),
    ),
    (
        "axis upside down",
        lambda c: c["figures"]["axes"]["m_jj_wide"].update(low=900),
        r"figures\.axes\.m_jj_wide: high is 800, not above low, 900; put them in rising order",
    ),
    (
        "no such generator",
        lambda c: c["samples"]["test"].update(generator="mulitjet"),
        (
            r"samples\.test\.generator: 'mulitjet' is not a generator\. Allowed: multijet, "
            r"boson\. Did you mean 'multijet'"
        ),
    ),
    (
        "no generator",
        lambda c: c["samples"]["test"].pop("generator"),
        r"samples\.test: it must have either a generator, which makes its events, or a reader",
    ),
    (
        "both a generator and a reader",
        lambda c: c["samples"]["test"].update(reader="cms"),
        r"samples\.test: it must have either a generator",
    ),
    (
        "files of a generated sample",
        lambda c: c["samples"]["test"].update(files="a.root"),
        r"samples\.test\.files: \('a.root',\) is not allowed in a sample with a generator",
    ),
    (
        "no number of events",
        lambda c: c["samples"]["test"].pop("events"),
        r"samples\.test: key 'events' is missing: how many events to generate",
    ),
    (
        "no such reader",
        lambda c: c["samples"].update(data={"reader": "csm", "files": "a.root"}),
        r"samples\.data\.reader: 'csm' is not a reader\. Allowed: none",
    ),
    (
        "a sample without files",
        lambda c: c["samples"].update(data={"reader": "cms"}),
        r"samples\.data: key 'files' is missing: paths, patterns or addresses of files",
    ),
    (
        "events of a sample that is read",
        lambda c: c["samples"].update(data={"reader": "cms", "files": "a.root", "events": 3}),
        r"samples\.data\.events: 3 is not allowed in a sample with a reader",
    ),
    (
        "no such group",
        lambda c: c["samples"]["test"].update(group="top"),
        r"samples\.test\.group: 'top' is not a group\. Allowed: none",
    ),
    (
        "thresholds that fall",
        lambda c: c.update(working_points={"tight": 2.0, "loose": 1.0}),
        r"working_points: .* is not allowed; the thresholds must rise, the loosest",
    ),
    (
        "a threshold of the toy below 0",
        lambda c: c.update(working_points={"loose": -1.0}),
        r"working_points\.loose: -1 is not allowed; the discriminant of the toy is above 0",
    ),
    (
        "no such working point",
        lambda c: c["distributions"]["m_jj"].update(working_point="loose"),
        r"distributions\.m_jj\.working_point: 'loose' is not a working point\. Allowed: none",
    ),
    (
        "a bin between points the wrong way round",
        lambda c: (
            c.update(working_points={"loose": 1.0, "tight": 2.0}),
            c["distributions"]["m_jj"].update(working_point="tight", below="loose"),
        ),
        r"distributions\.m_jj\.below: 'loose' is not tighter than the working point 'tight'",
    ),
    (
        "an input that is no column",
        lambda c: c["estimators"]["gnn"]["architecture"].update(inputs=["pt", "n_trakcs"]),
        (
            r"estimators\.gnn\.architecture\.inputs\.1: 'n_trakcs' is not a column of the jets\. "
            r"Allowed: pt, eta, phi, flavour, mass"
        ),
    ),
    (
        "an axis that is no column",
        lambda c: c["estimators"]["map"].update(axes={"n_tracks": [0, 5, 10]}),
        r"estimators\.map\.axes: 'n_tracks' is not a column of the jets\. Allowed: mass, phi",
    ),
    (
        "folds with another validation sample",
        lambda c: c["roles"].update(folds=5),
        r"roles\.validation: validation is not allowed; with folds, epochs are chosen on a fold",
    ),
    (
        "two folds",
        lambda c: c["roles"].update(folds=2, validation="train"),
        r"roles\.folds: 2 is not allowed; .* at least 3 are needed",
    ),
    (
        "seeds that do not spread over the folds",
        lambda c: c["roles"].update(folds=3, validation="train"),
        r"estimators\.gnn\.seeds: 8 is not allowed; it must be a multiple of roles\.folds, 3",
    ),
    (
        "a generated sample without a truth",
        lambda c: c.pop("truth"),
        r"truth: it is missing, and samples\.train is generated by it",
    ),
    (
        "a base that there is not",
        lambda c: c.update(base="own"),
        r"base: 'own' is not allowed; allowed are paper, samples",
    ),
    (
        "no training sample",
        lambda c: c["samples"].pop("train"),
        r"roles\.train: 'train' is not a sample\. Allowed: validation, test, boson",
    ),
    (
        "text for a number",
        lambda c: c.update(seed="one"),
        r"seed: 'one' is not allowed; it must be of type integer",
    ),
    (
        "unknown process",
        lambda c: c["generators"]["multijet"].update(kind="trijet"),
        r"generators\.multijet\.kind: 'trijet' is not allowed; allowed are multijet, boson",
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
        lambda c: c["truth"].update(kind="nearest_neighbour"),
        r"truth: key 'pt_half' is missing\. Transverse momentum at which a jet feels half",
    ),
    (
        "option of no form",
        lambda c: c["truth"].update(pt_half=100),
        r"truth: unknown key 'pt_half'\. Allowed: kind, base, correction",
    ),
    (
        "unknown jet to read",
        lambda c: c["figures"]["factor_probe"].update(flavour="tau"),
        r"figures\.factor_probe\.flavour: 'tau' is not a flavour",
    ),
    (
        "unknown edge feature",
        lambda c: c["estimators"]["gnn_geometric"]["architecture"].update(edge_features=["mass"]),
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
        r"generators\.multijet\.pt: low is 700\.0 and high is 600\.0; low must be below high",
    ),
    (
        "names that one file system takes for one",
        lambda c: c["estimators"].update(Map=c["estimators"]["map"]),
        r"estimators\.Map: it differs from 'map' in the size of letters only",
    ),
    (
        "reserved name",
        lambda c: c["estimators"].update(true=c["estimators"]["map"]),
        r"estimators\.true: this name is taken",
    ),
    (
        "unknown policy",
        lambda c: c["estimators"]["map"].update(outside="wrap"),
        r"estimators\.map\.outside: 'wrap' is not allowed; allowed are clamp, error",
    ),
    (
        "unknown flavour in figure 1",
        lambda c: c["figures"].update(weighting_flavours=["c", "s"]),
        r"figures\.weighting_flavours: 's' is not a flavour\. Allowed: b, c, light",
    ),
    (
        "unknown flavour that keeps its tag",
        lambda c: c["weights"].update(keep_tags_of=["bottom"]),
        r"weights\.keep_tags_of: 'bottom' is not a flavour\. Allowed: b, c, light",
    ),
    (
        "unknown figure",
        lambda c: c["figures"].update(only=["fig1", "leraning_curve"]),
        (
            r"figures\.only\.1: 'leraning_curve' is not a figure\. Allowed: fig1, .*, "
            r"training_cost, repeated\. Did you mean 'learning_curve'\?"
        ),
    ),
    (
        "factors of a network that has none",
        lambda c: c["figures"].update(only=["fig3_gnn"]),
        (
            r"figures\.only\.0: 'fig3_gnn' .*fig8, cells_test, cells_boson, calibration, "
            r"coverage, fig3_gnn_factorised, curves_additive, "
            r"training, learning_curve, training_cost, "
        ),
    ),
    (
        "no figure",
        lambda c: c["figures"].update(only=[]),
        r"figures\.only: \[\] is not allowed; .*Figures to draw",
    ),
    (
        "a curve without points",
        lambda c: c["figures"].update(only=["learning_curve"]),
        (
            r"figures\.only: learning_curve needs the section learning_curve, which is missing; "
            r"give it as config/studies/learning_curve"
        ),
    ),
    (
        "losses of another kind",
        lambda c: (
            c["figures"].update(only=["training_cost"]),
            c["estimators"]["gnn"]["training"].update(mu=2),
        ),
        (
            r"estimators\.gnn\.training\.mu: 2 cannot be drawn in the figure training_cost.*set "
            r"it to 1"
        ),
    ),
    (
        "losses of nothing",
        lambda c: c.update(
            estimators={"map": c["estimators"]["map"]},
            figures={**c["figures"], "only": ["training_cost"], "efficiencies": None},
        ),
        r"figures\.only: training_cost shows the training of networks, and there are none",
    ),
    (
        "more events than there are",
        lambda c: c.update(learning_curve={"points": [{"events": 10}, {"events": 100_001}]}),
        (
            r"learning_curve\.points\.1\.events: 100001 is more than samples\.train\.events, "
            r"100000; lower it"
        ),
    ),
    (
        "points that fall",
        lambda c: c.update(learning_curve={"points": [{"events": 10}, {"events": 10}]}),
        (
            r"learning_curve\.points\.1\.events: 10 is not above the point before it, 10; put "
            r"them in rising order"
        ),
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
        lambda c: c["estimators"]["gnn"]["training"].update(warm_up=1),
        r"estimators\.gnn\.training\.warm_up: 1 is not allowed; it must be below 1",
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
        (
            r"uncertainty\.sample: \['test', 'boson'\] is not allowed; it must be of type "
            r"string\. Sample whose tags tell"
        ),
    ),
    (
        "a prior of no width",
        lambda c: c["uncertainty"].update(prior_width=0),
        r"uncertainty\.prior_width: 0 is not allowed; it must be above 0\. How far the logarithm",
    ),
    (
        "no region",
        lambda c: c["uncertainty"].update(regions=0),
        r"uncertainty\.regions: 0 is not allowed; it must be at least 1",
    ),
    (
        "fewer reference jets than neighbours",
        lambda c: c["domain"].update(max_reference_jets=9),
        r"domain\.max_reference_jets: 9 is less than domain\.neighbours, 10; raise it",
    ),
    (
        "everything flagged",
        lambda c: c["domain"].update(flagged=1),
        (
            r"domain\.flagged: 1 is not allowed; it must be below 1\. Share of the jets of the "
            r"validation sample"
        ),
    ),
    (
        "unknown key of the domain",
        lambda c: c["domain"].update(neighbors=10),
        (
            r"domain: unknown key 'neighbors'\. Allowed: flagged, neighbours, "
            r"max_reference_jets\. Did you mean 'neighbours'\?"
        ),
    ),
    (
        "unknown efficiency in figures",
        lambda c: c["figures"].update(efficiencies=["map", "gnn_geometrical"]),
        (
            r"figures\.efficiencies\.1: 'gnn_geometrical' is not an eff.* Allowed: map, smoothed, "
            r".* mean 'gnn_geometric'\?"
        ),
    ),
    (
        "the truth among efficiencies of figures",
        lambda c: c["figures"].update(efficiencies=["true"]),
        r"figures\.efficiencies\.0: 'true' is not an efficiency\. Allowed: map, [^?]*$",
    ),
    (
        "no efficiency in figures",
        lambda c: c["figures"].update(efficiencies=[]),
        (
            r"figures\.efficiencies: \[\] is not allowed; .*Efficiencies that figures of jets and "
            r"events show"
        ),
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
        (
            r"closure\.required\.1\.sample: 'bosn' is unknown\. Allowed: train, validation, test, "
            r"boson\. Did you .* 'boson'\?"
        ),
    ),
    (
        "closure required of an unknown efficiency",
        lambda c: c["closure"].update(required=[{"efficiency": "gmn"}]),
        (
            r"closure\.required\.0\.efficiency: 'gmn' is unknown\. Allowed: true, map, smoothed, "
            r".*Did you mean 'gnn'\?"
        ),
    ),
    (
        "closure required by an unknown key",
        lambda c: c["closure"].update(required=[{"efficency": "gnn"}]),
        (
            r"closure\.required\.0: unknown key 'efficency'\. Allowed: sample, distribution, "
            r"panel, events, .* mean 'efficiency'\?"
        ),
    ),
    (
        "closure required in an unknown distribution",
        lambda c: c["closure"].update(required=[{"distribution": "mjj"}]),
        (
            r"closure\.required\.0\.distribution: 'mjj' is unknown\. Allowed: delta_r, m_jj, "
            r"boson_.*Did you mean 'm_jj'\?"
        ),
    ),
    (
        "closure required in a panel that no distribution has",
        lambda c: c["closure"].update(required=[{"panel": "c-b"}]),
        (
            r"closure\.required\.0\.panel: 'c-b' is unknown\. Allowed: all, b-b, b-c, b-light, "
            r"c-c, c-light, light-light"
        ),
    ),
    (
        "closure required in a panel that this distribution has not",
        lambda c: c["closure"].update(required=[{"distribution": "delta_r", "panel": "b-c"}]),
        (
            r"closure\.required\.0: no histogram is all of .*There are: delta_r \(sample test; "
            r"all\); m_jj "
        ),
    ),
    (
        "closure required of a sample that does not fill the distribution",
        lambda c: c["closure"].update(required=[{"distribution": "m_jj", "sample": "boson"}]),
        r"closure\.required\.0: no histogram is all of .*boson_m_jj \(sample boson; b-b, b-c, ",
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
        (
            r"closure\.p_value: 0 is not allowed; it must be above 0\. Smallest p-value of a "
            r"histogram that closes"
        ),
    ),
    (
        "a p-value of 1",
        lambda c: c["closure"].update(p_value=1),
        r"closure\.p_value: 1 is not allowed; it must be below 1",
    ),
    (
        "one replica",
        lambda c: c["estimators"]["smoothed"].update(replicas=1),
        (
            r"estimators\.smoothed\.replicas: 1 is not allowed; it must be at least 2\. Fits to "
            r"events drawn with replacement"
        ),
    ),
    (
        "half a bootstrap",
        lambda c: c["estimators"]["gnn"]["training"].update(bootstrap=0.5),
        (
            r"estimators\.gnn\.training\.bootstrap: 0\.5 is not allowed; it must be of type "
            r"boolean\. Train each network"
        ),
    ),
    (
        "more repeated events than there are",
        lambda c: c.update(repeated={"samples": 11, "events": 10_000}),
        (
            r"repeated: 11 samples of 10000 events are more than samples\.train\.events, 100000; "
            r"make the sample longer"
        ),
    ),
    (
        "more repeated events of networks than there are",
        lambda c: c.update(
            repeated={
                "samples": 2,
                "events": 10,
                "networks": {"samples": 2, "events": 60_000},
            }
        ),
        (
            r"repeated\.networks: 2 samples of 60000 events are more than samples\.train\.events, "
            r"100000; make the sample longer"
        ),
    ),
    (
        "more networks at a point than there are",
        lambda c: c.update(learning_curve={"points": [{"events": 10, "seeds": 9}]}),
        (
            r"learning_curve\.points\.0\.seeds: 9 is more than estimators\.gnn\.seeds, 8; "
            r"lower it, or train more networks"
        ),
    ),
    (
        "one repeated sample",
        lambda c: c.update(repeated={"samples": 1, "events": 10}),
        r"repeated\.samples: 1 is not allowed; it must be at least 2\. Number of training samples",
    ),
    (
        "repeated samples that are not there",
        lambda c: c["figures"].update(only=["repeated"]),
        (
            r"figures\.only: repeated needs the section repeated, which is missing; give it as "
            r"config/studies/repeated\.yaml"
        ),
    ),
    (
        "null for what is needed",
        lambda c: c["figures"].update(axes=None),
        r"figures: key 'axes' is missing\. Bin edges of the figures' axes",
    ),
    (
        "a variable that no generator makes",
        lambda c: with_tracks(c, variable="n_trakcs"),
        (
            r"truth\.variable: 'n_trakcs' is not a further variable of generators\.multijet; add "
            r"it to generators\.multijet\.further\. There are: n_tracks\. Did you mean 'n_tracks'"
        ),
    ),
    (
        "a variable that one generator does not make",
        lambda c: (with_tracks(c), c["generators"]["boson"].pop("further")),
        (
            r"truth\.variable: 'n_tracks' is not a further variable of generators\.boson; .*There "
            r"are: none"
        ),
    ),
    (
        "an input that no generator makes",
        lambda c: c.update(inputs={"n_tracks": {}}),
        r"inputs\.n_tracks: 'n_tracks' is not a further variable of generators\.multijet; add it",
    ),
    (
        "a variable without a mean for each flavour",
        lambda c: (
            with_tracks(c),
            c["generators"]["multijet"]["further"]["n_tracks"]["means"].pop("c"),
        ),
        (
            r"generators\.multijet\.further\.n_tracks\.means: must have an entry for each of b, c, "
            r"light; missing: c"
        ),
    ),
    (
        "a variable with the name of a column",
        lambda c: c["generators"]["boson"].update(further={"pt": TRACKS}),
        r"generators\.boson\.further\.pt: a further column cannot be called 'pt'",
    ),
    (
        "a flavour without a truth, one level down",
        lambda c: (with_tracks(c), c["truth"]["of"]["base"].pop("c")),
        r"truth\.of\.base: must have an entry for each of b, c, light; missing: c, unknown: none",
    ),
    (
        "an efficiency above 1, one level down",
        lambda c: (with_tracks(c), c["truth"]["of"]["base"]["b"].update(amplitude=1.2)),
        r"truth\.of\.base\.b\.amplitude: 1\.2 is not allowed; it must be at most 1",
    ),
    (
        "an unknown truth, one level down",
        lambda c: (with_tracks(c), c["truth"]["of"].update(kind="magic")),
        r"truth\.of\.kind: 'magic' is not allowed; allowed are neighbour_product, nearest_neigh",
    ),
    (
        "an unknown form",
        lambda c: with_tracks(c, form={"kind": "steep"}),
        r"truth\.form\.kind: 'steep' is not allowed; allowed are step, oscillation",
    ),
    (
        "null for what is unknown",
        lambda c: c.update(sede=None),
        r"the config: unknown key 'sede'.*Did you mean 'seed'",
    ),
]


FAULTS: list[tuple[str, Callable[[Raw], Any], str]] = [
    (
        "infinity for a limit",
        lambda c: c["uncertainty"].update(max_scale=math.inf),
        r"uncertainty\.max_scale: inf is not allowed; it must be a finite number\. Largest scale",
    ),
    (
        "no number for a p-value",
        lambda c: c["closure"].update(p_value=math.nan),
        r"closure\.p_value: nan is not allowed; it must be a finite number\. Smallest p-value",
    ),
    (
        "no number for a count",
        lambda c: c.update(seed=math.nan),
        r"seed: nan is not allowed; it must be of type integer\. Number from which",
    ),
    (
        "an infinite edge of a figure",
        lambda c: c["figures"]["axes"].update(pt=[0, 100, math.inf]),
        r"figures\.axes\.pt\.2: inf is not allowed; it must be a finite number",
    ),
    (
        "a number beyond all floats",
        lambda c: c["uncertainty"].update(prior_width=10**400),
        r"uncertainty\.prior_width: 1000\d*\.\.\. is not allowed; it must be a finite number",
    ),
    (
        "a number that YAML takes for text",
        lambda c: c["estimators"]["gnn"]["training"].update(learning_rate="1e-3"),
        (
            r"learning_rate: '1e-3' is not allowed; .*number\. YAML reads this as text; write "
            r"1\.0e-3\."
        ),
    ),
    (
        "a whole number that YAML takes for text",
        lambda c: c["samples"]["train"].update(events="1e5"),
        r"train\.events: '1e5' is not .* type integer\. YAML reads this as text; write 100000\.",
    ),
    (
        "a part of an event",
        lambda c: c["samples"]["train"].update(events=1.5),
        (
            r"samples\.train\.events: 1\.5 is not allowed; it must be of type integer\. Number of "
            r"events"
        ),
    ),
    (
        "a year for a sample",
        lambda c: c["samples"].update({2018: c["samples"]["test"]}),
        r"samples: the key 2018 is not allowed; it must be text, and YAML reads the integer 2018\.",
    ),
    (
        "true for an estimator",
        lambda c: c["estimators"].update({True: c["estimators"]["map"]}),
        (
            r"estimators: the key True is not allowed; it must be text, and YAML reads the "
            r"boolean True"
        ),
    ),
    (
        "null for a flavour",
        lambda c: c["flavours"].update({None: 1}),
        r"flavours: the key None is not allowed; it must be text, and YAML reads nothing",
    ),
    *(
        (
            f"an estimator named {name}",
            lambda c, name=name: c["estimators"].update({name: c["estimators"]["map"]}),
            rf"estimators\.{name}: .*{reason}",
        )
        for name, reason in {
            "007": "must begin with a letter",
            "NA": "take it for a missing value",
            "nan": "take it for a missing value",
            "sample": "this name is taken",
            "events": "this name is taken",
            "direct": "this name is taken",
            "a-b": "hold only letters, digits and _",
        }.items()
    ),
    (
        "wildcards in a name",
        lambda c: c["samples"].update({"{x}": c["samples"]["test"]}),
        r"samples\.\{x\}: this is not allowed as a name; it must begin with a letter",
    ),
    (
        "a name of 300 letters",
        lambda c: c["estimators"].update({"a" * 300: c["estimators"]["map"]}),
        r"estimators\.a{20}\.\.\.: this name has 300 letters, .* use at most 64",
    ),
    (
        "wildcards in the folder of results",
        lambda c: c.update(results="results/{x}"),
        (
            r"results: 'results/\{x\}' is not allowed; Snakemake takes what is in braces for a "
            r"wildcard"
        ),
    ),
    (
        "wildcards in a remark",
        lambda c: c["figures"].update(remark="quick {look}"),
        r"figures\.remark: 'quick \{look\}' is not allowed; .* leave \{ and \} out",
    ),
    (
        "wildcards in a title",
        lambda c: c["distributions"]["m_jj"].update(title="{m}"),
        r"distributions\.m_jj\.title: '\{m\}' is not allowed",
    ),
    (
        "two lines of remark",
        lambda c: c["figures"].update(remark="quick\nlook"),
        r"figures\.remark: 'quick\\nlook' is not allowed; it must be one line",
    ),
    (
        "a long remark",
        lambda c: c["figures"].update(remark="a" * 300),
        r"figures\.remark: .* it has 300 letters, and at most 200 are allowed",
    ),
    (
        "a year for a remark",
        lambda c: c["figures"].update(remark=2018),
        r"figures\.remark: 2018 is not .* type string\. YAML reads this as a number .*in quotes",
    ),
    (
        "no folder of results",
        lambda c: c.update(results=" "),
        r"results: ' ' is not allowed; it must name a folder",
    ),
    (
        "distances the wrong way round",
        lambda c: c["generators"]["multijet"].update(distance=[3.0, 0.011]),
        r"generators\.multijet: distance is \[3\.0, 0\.011\]; the first number must be below",
    ),
    (
        "a range the wrong way round",
        lambda c: c["closure"]["in_range"].update(pt=[600, 20]),
        r"closure\.in_range\.pt: \[600\.0, 20\.0\] is not allowed; the first number must be below",
    ),
    (
        "half a range",
        lambda c: c["closure"]["in_range"].update(pt=[600]),
        r"closure\.in_range\.pt: \[600\] is not allowed; it must have at least 2 entries",
    ),
    (
        "no such device",
        lambda c: c.update(device="gpu"),
        r"device: 'gpu' is not allowed; allowed are auto, cpu, cuda.*Where networks are trained",
    ),
    (
        "a sample that is learned from and judged",
        lambda c: c["roles"].update(judged=["test", "train"]),
        r"roles\.judged\.1: 'train' is not allowed; roles\.train names it too",
    ),
    (
        "a sample that is judged twice",
        lambda c: c["roles"].update(judged=["test", "test"]),
        r"roles\.judged: \['test', 'test'\] is not allowed; 'test' is named twice",
    ),
    (
        "a role of no sample",
        lambda c: c["roles"].update(validation="valdation"),
        r"roles\.validation: 'valdation' is not a sample\. .*Did you mean 'validation'\?",
    ),
    (
        "a distribution of no sample",
        lambda c: c["distributions"]["m_jj"].update(sample="tset"),
        r"distributions\.m_jj\.sample: 'tset' is not a sample\..*Did you mean 'test'\?",
    ),
    (
        "a distribution of nothing known",
        lambda c: c["distributions"]["m_jj"].update(observable="mjj"),
        r"distributions\.m_jj\.observable: 'mjj' is not allowed; allowed are delta_r, m_jj, .*pt_1",
    ),
    (
        "a selection by nothing known",
        lambda c: c["distributions"]["m_jj"].update(selection={"mjj": [1, 2]}),
        r"distributions\.m_jj\.selection\.mjj.*'mjj' is not allowed; allowed are delta_r, m_jj",
    ),
    (
        "a selection the wrong way round",
        lambda c: c["distributions"]["m_jj"].update(selection={"n_jets": [5, 4]}),
        r"m_jj\.selection\.n_jets: \[5\.0, 4\.0\] is not allowed; the first number must not be",
    ),
    (
        "a selection without ends",
        lambda c: c["distributions"]["m_jj"].update(selection={"n_jets": [None, None]}),
        r"m_jj\.selection\.n_jets: \[null, null\] is not allowed; state one end at least",
    ),
    (
        "one tag twice",
        lambda c: c["distributions"]["m_jj"].update(tagged=[2, 1]),
        r"distributions\.m_jj\.tagged: \[2, 1\] is not allowed; give each number once, in rising",
    ),
    (
        "no distribution",
        lambda c: c.update(distributions={}),
        r"distributions: \{\} is not allowed; it must have at least 1 entries",
    ),
    (
        "more files than names of four digits",
        lambda c: c.update(events_per_shard=1),
        r"samples\.train\.events: 100000 events make 100000 files .* Raise events_per_shard",
    ),
    (
        "no kind",
        lambda c: c["estimators"]["map"].pop("kind"),
        r"estimators\.map: key 'kind' is missing",
    ),
    (
        "a kind that is no text",
        lambda c: c["estimators"]["map"].update(kind=3),
        r"estimators\.map\.kind: 3 is not allowed; it must be of type string",
    ),
    (
        "a kind that cannot be imported",
        lambda c: c["estimators"]["map"].update(kind="no_such_module:Map"),
        r"estimators\.map\.kind: 'no_such_module:Map' is not allowed; .*cannot be loaded .*Install",
    ),
    (
        "a kind that is no estimator",
        lambda c: c["estimators"]["map"].update(kind="json:loads"),
        r"estimators\.map\.kind: .*json:loads has no options_type",
    ),
    (
        "a sectionless estimator",
        lambda c: c["estimators"].update(map="binned"),
        r"estimators\.map: 'binned' is not allowed; it must be of type section with keys",
    ),
    (
        "a section of version 0.1.0",
        lambda c: c.update(maps={}),
        (
            r"the config: unknown key 'maps'\..* Since version 0\.2\.0 this is estimators, each "
            r"with its"
        ),
    ),
    (
        "a key of version 0.1.0",
        lambda c: c["figures"].update(draw=["fig1"]),
        r"figures: unknown key 'draw'\..* Since version 0\.2\.0 this is only",
    ),
    (
        "a misspelt kind",
        lambda c: c["estimators"]["map"].update(kind="bined"),
        r"map\.kind: 'bined' is not .* or module:Class\. Did you mean 'binned'\? Kind of estimator",
    ),
    (
        "text for an axis",
        lambda c: c["figures"]["axes"].update(pt="fine"),
        (
            r"axes\.pt: 'fine' is not allowed; it must be a list of edges, or "
            r"{bins, low, high}\. Trans"
        ),
    ),
    (
        "a list for the whole of a section",
        lambda c: c.update(closure=[1]),
        r"closure: \[1\] is not allowed; it must be of type section with keys",
    ),
]


def refused(raw: Raw) -> list[str]:
    """The faults of a config, a line each."""
    with pytest.raises(ConfigError) as error:
        check_config(raw)
    first, *lines = str(error.value).splitlines()
    assert first == f"the config has {len(lines)} fault(s); nothing was started:"
    return [line.removeprefix("  ") for line in lines]


@pytest.mark.parametrize(
    ("what", "spoil", "message"), BAD + FAULTS, ids=[b[0] for b in BAD + FAULTS]
)
def test_bad_configs_are_refused_by_path(
    what: str, spoil: Callable[[Raw], Any], message: str, default_config: Raw
) -> None:
    config = copy.deepcopy(default_config)
    spoil(config)
    with pytest.raises(ConfigError, match=message):
        check_config(config)


# ---- every key of the schema, spoiled in every way that it does not allow ------------------------


class Spoiled(NamedTuple):
    """A way to spoil a config: where, with what, and what the error must say."""

    path: tuple[str | int, ...]
    value: Any
    message: str


GONE = object()
"""Spoils by taking a key away."""


def everything(default_config: Raw) -> Raw:
    """A config that has every section and every kind."""
    config = copy.deepcopy(default_config)
    config["estimators"]["fit"] = {"kind": "parametric", "replicas": 20}
    config["learning_curve"] = {"points": [{"events": 1000, "training": {}}]}
    config["repeated"] = {"samples": 2, "events": 1000}
    config["closure"]["required"] = [{"sample": "test"}]
    config["weights"]["scale_factors"] = {
        "file": "sf.json",
        "heavy": "comb",
        "light": "incl",
        "flavours": {"heavy": ["b", "c"], "light": ["light"]},
        "systematics": {"heavy": ["up", "down"], "light": ["up"]},
        "outside": "clamp",
        "max_negative": 0.1,
        "direct": False,
    }
    return config


def resolved(part: Raw, schema: Raw, value: Any) -> Raw:
    """The part of the schema that a value is checked by."""
    if "$ref" in part:
        part = {**part, **schema["$defs"][part["$ref"].rsplit("/", 1)[1]]}
    for branch in part.get("allOf", ()):
        if branch["if"]["properties"]["kind"]["const"] == value["kind"]:
            return resolved(branch["then"], schema, value)
    for choice in part.get("oneOf", ()):
        inner = resolved(choice, schema, value)
        if (inner["type"] == "array") == isinstance(value, list):
            return inner
    return part


def spoils(value: Any, part: Raw, schema: Raw, path: tuple[str | int, ...]) -> Iterator[Spoiled]:
    """Go through the ways to spoil what is at a path."""
    part = resolved(part, schema, value)
    name = re.escape(".".join(map(str, path)))
    if isinstance(value, dict):
        fields = part.get("properties")
        if path:
            yield Spoiled(
                path, 7, rf"{name}: 7 is not allowed; it must be (of type section|a list of)"
            )
        if fields is not None and fields:
            allowed = ", ".join(fields)
            where = name or "the config"
            message = rf"{where}: unknown key 'unheard_of'\. Allowed: {re.escape(allowed)}"
            yield Spoiled((*path, "unheard_of"), 1, message)
        for key in part.get("required", ()):
            yield Spoiled((*path, key), GONE, rf"{name or 'the config'}: key '{key}' is missing")
        for key, inner in value.items():
            below = fields[key] if fields else part.get("additionalProperties")
            if isinstance(below, dict):
                yield from spoils(inner, below, schema, (*path, key))
        return
    words = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "string"}
    kind = words.get(part.get("type", ""), "list")
    wrong = {"x": 1}
    yield Spoiled(path, wrong, rf"{name}: {{'x': 1}} is not allowed; (it must be of|allowed are)")
    if kind in ("integer", "number"):
        yield Spoiled(
            path, math.nan, rf"{name}: nan is not allowed; it must be (of type int|a finite)"
        )
        yield Spoiled(
            path, math.inf, rf"{name}: inf is not allowed; it must be (of type int|a finite)"
        )
        yield Spoiled(path, True, rf"{name}: True is not allowed; it must be of type {kind}")
        yield Spoiled(
            path, "1", rf"{name}: '1' is not allowed; it must be of type {kind}\. YAML reads"
        )
    limits = {
        "minimum": (-1, "it must be at least"),
        "exclusiveMinimum": (0, "it must be above"),
        "maximum": (1, "it must be at most"),
        "exclusiveMaximum": (0, "it must be below"),
    }
    for word, (step, text) in limits.items():
        if word in part:
            spoiled = part[word] + step
            yield Spoiled(
                path, spoiled, rf"{name}: {re.escape(str(spoiled))} is not allowed; {text} "
            )
    if "enum" in part:
        message = rf"{name}: 'unheard_of' is not allowed; allowed are {', '.join(part['enum'])}"
        yield Spoiled(path, "unheard_of", message)
    if isinstance(value, list) and isinstance(part.get("items"), dict):
        for number, inner in enumerate(value[:1]):
            yield from spoils(inner, part["items"], schema, (*path, number))


@pytest.mark.slow(seconds=15)
def test_every_key_refuses_what_it_does_not_allow(default_config: Raw) -> None:
    config = everything(default_config)
    check_config(config)
    schema = config_schema()
    cases = list(spoils(without_nones(config), schema, schema, ()))
    for path, value, message in cases:
        spoiled = copy.deepcopy(config)
        *parents, last = path
        place: Any = spoiled
        for step in parents:
            place = place[step]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
        lines = refused(spoiled)
        assert any(re.match(message, line) for line in lines), (path, value, message, lines)
    assert len(cases) >= 198


def without_nones(value: Any) -> Any:
    """Plain values as a config states them, without keys that are left out."""
    if isinstance(value, dict):
        return {key: without_nones(inner) for key, inner in value.items() if inner is not None}
    return value


# ---- all at once ---------------------------------------------------------------------------------


def test_all_faults_are_told_at_once(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["seed"] = -1
    config["events_per_shard"] = 0
    with pytest.raises(
        ConfigError, match=r"(?s)2 fault\(s\); nothing was started.*events_per_shard: 0.*seed: -1"
    ):
        check_config(config)


def test_contradictions_are_told_beside_faults_of_single_keys(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["seed"] = -1
    config["domain"]["max_reference_jets"] = 3
    config["distributions"]["m_jj"]["sample"] = "x"
    assert refused(config) == [
        "distributions.m_jj.sample: 'x' is not a sample. Allowed: train, validation, test, boson",
        "domain.max_reference_jets: 3 is less than domain.neighbours, 10; raise it",
        (
            "seed: -1 is not allowed; it must be at least 0. "
            "Number from which all random streams derive."
        ),
    ]


def test_contradictions_of_a_faulty_section_are_not_guessed(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["samples"]["train"]["events"] = 0
    assert len(refused(config)) == 1


@pytest.mark.parametrize("raw", [None, [], "config.yaml", 3])
def test_what_is_no_section_is_no_config(raw: Any) -> None:
    assert refused(raw) == [f"the config: {raw!r} is not allowed; it must be a section with keys"]


def test_what_is_no_config_is_refused() -> None:
    assert len(refused({})) == 8
    with pytest.raises(ConfigError, match=r"the config: unknown key 'a'"):
        check_config({"a": {}})


def test_faults_of_what_judges_efficiencies_are_told_together(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["uncertainty"]["sample"] = "train"
    config["domain"]["max_reference_jets"] = 3
    config["closure"]["required"] = [{"sample": "x", "efficiency": "y"}]
    known = "true, map, smoothed, delta_r, additive, mlp, gnn, gnn_geometric, gnn_factorised"
    assert refused(config) == [
        f"closure.required.0.efficiency: 'y' is unknown. Allowed: {known}",
        "closure.required.0.sample: 'x' is unknown. Allowed: train, validation, test, boson",
        "domain.max_reference_jets: 3 is less than domain.neighbours, 10; raise it",
        "uncertainty.sample: 'train' is not allowed; it must be one of validation",
    ]


# ---- what is allowed -----------------------------------------------------------------------------


def test_defaults_are_filled_in_at_every_depth(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    del config["events_per_shard"]
    del config["estimators"]["map"]["outside"]
    config["estimators"]["gnn"]["training"] = {
        "epochs": 1,
        "batch_events": 10,
        "learning_rate": 0.1,
    }
    filled = check_config(config).model_dump(mode="json")
    assert filled["events_per_shard"] == 50_000
    assert filled["estimators"]["map"]["outside"] == "clamp"
    assert filled["estimators"]["gnn"]["training"]["mu"] == 1.0
    assert "mu" not in config["estimators"]["gnn"]["training"]


def test_what_judges_efficiencies_has_defaults(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    for section in ("domain", "uncertainty", "roles", "weights"):
        del config[section]
    for key in ("minimum_events", "p_value", "required"):
        del config["closure"][key]
    for key in ("efficiencies", "calibration_bins"):
        del config["figures"][key]
    del config["estimators"]["map"]["replicas"]
    del config["estimators"]["gnn"]["training"]["bootstrap"]
    filled = check_config(config).model_dump(mode="json")
    assert filled["domain"] == {"flagged": 0.005, "neighbours": 10, "max_reference_jets": 20_000}
    assert filled["uncertainty"] == {
        "sample": "validation",
        "regions": 32,
        "prior_width": 0.3,
        "max_scale": 2.0,
    }
    assert filled["roles"] == {
        "train": ["train"],
        "validation": ["validation"],
        "judged": ["test", "boson"],
        "folds": 1,
        "fold_by": "event",
    }
    assert filled["weights"] == {
        "tags": 3,
        "leading": None,
        "keep_tags_of": [],
        "scale_factors": None,
    }
    assert filled["closure"]["minimum_events"] == 10
    assert filled["closure"]["p_value"] == 0.01
    assert filled["closure"]["required"] == []
    assert filled["figures"]["calibration_bins"] == 12
    assert filled["figures"]["efficiencies"] is None
    assert filled["estimators"]["map"]["replicas"] == 20
    assert filled["estimators"]["gnn"]["training"]["bootstrap"] is False
    assert filled["repeated"] is None
    # What the toy needs has no default, and this config gives it.
    absent = [name for name in defaults() if name not in ("truth", "generators")]
    expected = {**defaults(), "events_per_shard": 50_000, "uncertainty": filled["uncertainty"]}
    assert {name: filled[name] for name in absent} == {name: expected[name] for name in absent}


def test_the_ends_of_what_is_allowed_are_allowed(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["samples"]["further"] = {"generator": "multijet", "events": 1000}
    config["uncertainty"]["sample"] = "further"
    config["domain"].update(neighbours=7, max_reference_jets=7)
    config["figures"].update(
        efficiencies=["mlp", "map"], only=["repeated", "coverage", "calibration"]
    )
    required = [
        {"efficiency": "true"},
        {"sample": "test", "distribution": "m_jj", "panel": "b-b", "events": "in_domain"},
    ]
    config["closure"].update(p_value=0.5, required=required)
    config["repeated"] = {"samples": 2, "events": 50_000}
    config["estimators"]["map"]["replicas"] = 2
    config["estimators"]["map"]["pt"] = [20, 100, math.inf]
    filled = check_config(config)
    dumped = [entry.model_dump(exclude_none=True) for entry in filled.closure.required]
    assert dumped == required
    assert filled.repeated is not None
    repeated = filled.repeated.model_dump()
    assert repeated == {"samples": 2, "events": 50_000, "networks": None, "samples_per_job": 10}
    assert filled.estimators["map"].model_dump()["pt"] == [20, 100, math.inf]


def test_a_checked_config_is_a_config(default_config: Raw) -> None:
    assert check_config(default_config).model_dump(mode="json") == default_config


def test_a_config_does_not_change(config: Config) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 2  # type: ignore[misc]


def test_whole_numbers_may_be_written_as_floats(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["seed"] = 1e3
    config["samples"]["train"]["events"] = yaml.safe_load("1.0e+5")
    config["learning_curve"] = {"points": [{"events": 1e3, "training": {"epochs": 2e1}}]}
    filled = check_config(config)
    assert (filled.seed, type(filled.seed)) == (1000, int)
    assert filled.samples["train"].events == 100_000
    training = filled.estimator_at("gnn", 1000).model_dump()["training"]
    assert (training["epochs"], type(training["epochs"])) == (20, int)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("results/", "results"), ("results//a/./b/", "results/a/b"), ("/x/y/", "/x/y"), (".", ".")],
)
def test_the_folder_of_results_is_written_in_one_way(
    written: str, meant: str, default_config: Raw
) -> None:
    assert check_config({**default_config, "results": written}).results == meant


def test_a_sample_may_be_named_reference(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["samples"]["reference"] = {"generator": "boson", "events": 10}
    assert "reference" in check_config(config).samples


def test_null_removes_an_entry(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["estimators"]["gnn"] = None
    config["estimators"]["map"] = None
    config["estimators"]["gnn_geometric"]["training"]["mu"] = None
    with pytest.raises(
        ConfigError,
        match=r"figures\.efficiencies\.0: 'map' is not an efficiency\. Allowed: smoothed, ",
    ):
        check_config(config)
    config["figures"]["efficiencies"] = None
    filled = check_config(config).model_dump(mode="json")
    assert list(filled["estimators"]) == [
        "smoothed",
        "delta_r",
        "additive",
        "mlp",
        "gnn_geometric",
        "gnn_factorised",
    ]
    assert filled["figures"]["efficiencies"] is None
    assert filled["estimators"]["gnn_geometric"]["training"]["mu"] == 1.0
    assert config["estimators"]["gnn"] is None
    assert filled["samples"] == default_config["samples"]


def test_null_lets_an_entry_become_of_another_kind(default_config: Raw) -> None:
    options = dict.fromkeys(default_config["estimators"]["map"]) | {"kind": "smoothed"}
    options |= {axis: {"bins": 2, "low": 0, "high": 600} for axis in ("pt", "eta")}
    options |= {"smoothing": {"pt": 0, "eta": 0}}
    config = copy.deepcopy(default_config)
    config["estimators"]["map"] = options
    filled = check_config(config).model_dump(mode="json")["estimators"]["map"]
    axes_and_weights = {"abs_eta", "axes", "outside", "weights"}
    assert set(filled) == {"kind", "pt", "eta", "smoothing", "replicas", *axes_and_weights}
    assert filled["outside"] == "clamp"


def test_points_of_the_learning_curve_override_only_what_they_state(
    default_config: Raw, config: Config
) -> None:
    points = [{"events": 1000, "training": {"epochs": 7}}, {"events": 3000}]
    filled = check_config({**default_config, "learning_curve": {"points": points}})
    curve = filled.model_dump(mode="json")["learning_curve"]
    expected = [{**points[0], "seeds": None}, {"events": 3000, "seeds": None, "training": {}}]
    assert curve == {"sample": "test", "points": expected}
    before = config.estimators["gnn"].model_dump()
    at_point = filled.estimator_at("gnn", 1000).model_dump()
    assert at_point == {**before, "training": {**before["training"], "epochs": 7}}
    assert filled.estimator_at("gnn", 3000) == config.estimators["gnn"]
    assert filled.estimator_at("map", 1000) == config.estimators["map"]


def test_validation_scales_with_the_training_sample(config: Config) -> None:
    assert first_events(config, 100_000) == {"train": 100_000, "validation": 20_000}
    assert first_events(config, 1_000) == {"train": 1_000, "validation": 200}
    assert first_events(config, 1) == {"train": 1, "validation": 1}


# ---- kinds of other packages ---------------------------------------------------------------------


class DialOptions(ResampledOptions):
    """Options of a kind that lives elsewhere."""

    angle: Annotated[Real, Field(lt=360)]
    """Where it points [degrees]."""


class Dial:
    """Stands for an estimator of another package."""

    options_type = DialOptions


def test_a_kind_from_elsewhere_brings_its_options(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    config["estimators"]["dial"] = {"kind": f"{__name__}:Dial", "angle": 5}
    filled = check_config(config).model_dump(mode="json")
    assert filled["estimators"]["dial"] == {
        "kind": f"{__name__}:Dial",
        "replicas": 20,
        "angle": 5.0,
    }
    config["estimators"]["dial"] = {"kind": f"{__name__}:Dial", "angel": 400, "angle": 400}
    assert refused(config) == [
        (
            "estimators.dial.angle: 400 is not allowed; it must be below 360. Where it points "
            "[degrees]."
        ),
        (
            "estimators.dial: unknown key 'angel'. Allowed: kind, replicas, angle. "
            "Did you mean 'angle'?"
        ),
    ]


# ---- what is made from the models ----------------------------------------------------------------


def test_every_key_is_described() -> None:
    schema = config_schema()

    def described(part: Raw, path: str) -> None:
        for key, inner in part.get("properties", {}).items():
            beside = inner.get("description")
            assert key == "kind" or beside or resolved(inner, schema, {}).get("description"), (
                f"{path}.{key}"
            )

    described(schema, "the config")
    for name, part in schema["$defs"].items():
        assert part.get("description"), name
        described(part, name)


def test_the_schema_says_what_the_models_say(default_config: Raw) -> None:
    schema = config_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert not list(validator.iter_errors(raw))
    raw["estimators"]["gnn"]["architecture"]["width"] = 6
    (error,) = validator.iter_errors(raw)
    assert "6 is not a multiple of 4" in str(error.context or error)


def test_the_schema_is_made_from_the_models() -> None:
    from docs.config_page import SCHEMA, schema_file

    assert SCHEMA.read_text() == schema_file(), "run `make docs`"


def test_reading_a_config_loads_nothing_heavy() -> None:
    code = (
        "import sys, yaml; from truthtag.workflow.options import check_config\n"
        "from truthtag.workflow.layout import Layout\n"
        "Layout(check_config(yaml.safe_load(open(sys.argv[1])))).stale_files('no such folder')\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-c", code, str(ROOT / "config/config.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    heavy = {"torch", "pandas", "scipy", "matplotlib", "hist", "lightgbm", "boost_histogram"}
    assert not (heavy | {"uproot", "awkward"}) & set(done.stdout.split())


CONFIGS = [p for p in sorted((ROOT / "config").glob("**/*.yaml")) if p.name != "samples.yaml"]
"""All but the base of configs for samples of one's own, which names no sample."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configs_of_the_project_state_only_what_differs_and_are_valid(path: Path) -> None:
    filled = check_config(on_base(yaml.safe_load(path.read_text()), ROOT / "config"))
    assert path.name == "config.yaml" or filled.results.startswith("results/")
    assert max(map(len, path.read_text().splitlines())) <= 100


def test_a_truth_that_depends_on_a_variable_is_allowed(default_config: Raw) -> None:
    config = copy.deepcopy(default_config)
    with_tracks(config, base=None, correction=None)
    config["inputs"] = {"n_tracks": {}}
    # Of the keys that the kind had before, null takes each back.
    assert "base" not in check_config(config).model_dump()["truth"]
    unused = {**config["generators"]["boson"], "further": {}}
    config["generators"]["unused"] = unused
    filled = check_config(config)
    assert check_config(filled.model_dump(mode="json")) == filled
    whole = config_schema()
    of_truth = {**whole["properties"]["truth"], "$defs": whole["$defs"]}
    truth = filled.model_dump(mode="json")["truth"]
    assert not list(Draft202012Validator(of_truth).iter_errors(truth))
    del truth["of"]["kind"]
    assert list(Draft202012Validator(of_truth).iter_errors(truth))


def test_results_folders_differ() -> None:
    folders = [
        yaml.safe_load(p.read_text())["results"] for p in (ROOT / "config").glob("**/*.yaml")
    ]
    assert len(set(folders)) == len(folders)


def test_a_config_lies_on_its_base(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{b: {x: 1, y: 2}, c: 3}")
    (tmp_path / "samples.yaml").write_text("{b: {z: 1}}")
    joined = on_base({"a": 0, "b": {"y": None, "w": 5}}, tmp_path)
    assert joined == {"b": {"x": 1, "y": None, "w": 5}, "c": 3, "a": 0}
    assert list(joined) == ["b", "c", "a"]
    assert on_base({"base": "samples"}, tmp_path) == {"b": {"z": 1}, "base": "samples"}


def test_axes_can_be_lists_or_equal_bins() -> None:
    assert edges_of([0, 1, 5]) == [0, 1, 5]
    assert edges_of({"bins": 3, "low": -1, "high": 0.5}) == [-1, -0.5, 0, 0.5]


def test_a_distribution_has_a_selection_and_a_working_point(config: Config) -> None:
    raw = config.model_dump(mode="json")
    raw["working_points"] = {"loose": 1.0, "tight": 2.0}
    raw["distributions"]["m_jj"] |= {
        "selection": {"n_jets": [4, None], "n_tracks_1": [None, 10], "ht": [5, 5]},
        "working_point": "loose",
        "below": "tight",
    }
    options = check_config(raw).model_dump(mode="json")["distributions"]["m_jj"]
    assert options["selection"] == {"n_jets": [4, None], "n_tracks_1": [None, 10], "ht": [5, 5]}
    assert (options["working_point"], options["below"]) == ("loose", "tight")
    assert options["observable"] == "m_jj"
