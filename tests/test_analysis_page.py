"""The page for analysts: its blocks run, and what they compute is right."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from nano import write_nano
from test_variations import checked, stated

from conftest import ROOT, make_jets
from truthtag.data.readers.options import ReaderOptions
from truthtag.estimators.ensemble import write_manifest
from truthtag.estimators.network.batches import features
from truthtag.estimators.network.estimator import NetworkEstimator
from truthtag.estimators.network.model import EfficiencyNetwork
from truthtag.estimators.network.options import Architecture

ak = pytest.importorskip("awkward", reason="the extra 'readers' is not installed")
uproot = pytest.importorskip("uproot", reason="the extra 'readers' is not installed")

PAGE = ROOT / "docs/analysis.md"


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page has it: a file of NanoAOD's layout, and an ensemble of networks."""
    place = tmp_path_factory.mktemp("analysis")
    rng = np.random.default_rng(3)
    jets = make_jets(list(rng.integers(1, 7, 150)), efficiency_true=None)
    write_nano(jets, place / "nano.root", rng)
    members = place / "results/estimators/gnn"
    members.mkdir(parents=True)
    paths = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = EfficiencyNetwork(Architecture(width=8, blocks=1, head=(8,)))
        network.standardise.fit(features(jets, network.columns))
        paths.append(members / f"seed_{seed}.pt")
        NetworkEstimator(network).save(paths[-1], {})
    write_manifest(paths, members / "ensemble.json")
    return place


def with_coffea(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the page import coffea's base class; a plain class stands for it where coffea is not."""
    if is_installed("coffea"):
        return
    coffea = ModuleType("coffea")
    coffea.processor = ModuleType("coffea.processor")  # type: ignore[attr-defined]
    coffea.processor.ProcessorABC = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "coffea", coffea)


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102


@pytest.fixture
def ran(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the blocks of the page leave, but for the one of ROOT."""
    monkeypatch.chdir(folder)
    with_coffea(monkeypatch)
    names: dict[str, Any] = {}
    code = [block for block in blocks("python") if "import ROOT" not in block]
    assert len(code) == 6
    run("\n".join(code), names)
    return names


def test_the_blocks_of_the_page_run(ran: dict[str, Any]) -> None:
    jets = ran["jets"]
    efficiency = ran["efficiency"]
    assert ak.num(efficiency).tolist() == ak.num(jets).tolist()
    assert str(efficiency.type.content) == "var * ?float64"
    assert ak.is_none(efficiency, axis=1).tolist() == (~ran["selected"]).tolist()
    # An event without selected jets has no tags, for certain.
    empty = ~ak.any(ran["selected"], axis=1)
    assert ak.any(empty)
    assert (ran["counts"].exactly[empty, 0] == 1).all()
    nominal = ran["tables"]["nominal"]
    np.testing.assert_allclose(ran["weight"], nominal["weight"] * nominal["p_tag_ge_2"], rtol=1e-6)


def test_each_efficiency_is_that_of_its_jet(ran: dict[str, Any]) -> None:
    """Events one by one, and jets in another order: the same values."""
    jets = ran["jets"]
    truthtag = ran["truthtag"]
    for position in (0, 5, 17, 30):
        one = jets[position : position + 1, ::-1]
        mask = ran["selected"][position : position + 1, ::-1]
        found = truthtag.from_awkward(one, mask=mask)
        alone = truthtag.to_awkward(ran["gnn"].efficiency(found.jets), found)
        expected = ran["efficiency"][position, ::-1]
        assert ak.is_none(alone[0]).tolist() == ak.is_none(expected).tolist()
        np.testing.assert_allclose(
            ak.to_numpy(ak.drop_none(alone[0])), ak.to_numpy(ak.drop_none(expected)), rtol=1e-5
        )


def test_the_processor_adds_up_over_chunks(ran: dict[str, Any]) -> None:
    whole = ran["result"]
    assert whole["events"] == len(ran["chunk"])
    assert list(whole["ht"]) == ["nominal", "jes_up"]
    weights = {name: one["weight"] * one["p_tag_ge_2"] for name, one in ran["tables"].items()}
    for name, histogram in whole["ht"].items():
        np.testing.assert_allclose(histogram.sum(), weights[name].sum(), rtol=1e-6)
    parts = [ran["mine"].process(ran["chunk"][some]) for some in (slice(0, 60), slice(60, None))]
    for name, histogram in whole["ht"].items():
        added = sum(part["ht"][name] for part in parts)
        np.testing.assert_allclose(added, histogram, rtol=1e-5, atol=1e-9)


def test_threads_may_share_an_estimator(ran: dict[str, Any]) -> None:
    chunks = [ran["chunk"][first : first + 30] for first in range(0, 150, 30)] * 2
    alone = [ran["mine"].process(chunk)["ht"]["nominal"] for chunk in chunks]
    with ThreadPoolExecutor(4) as pool:
        together = [one["ht"]["nominal"] for one in pool.map(ran["mine"].process, chunks)]
    assert np.array_equal(alone, together)


def test_the_friend_has_a_row_for_each_entry(ran: dict[str, Any], folder: Path) -> None:
    with uproot.open(folder / "weights.root") as file:
        friend = file["truthtag"].arrays()
    assert friend["event"].tolist() == ran["events"].event.tolist()
    assert friend["p_tag_ge_2"].tolist() == ran["tables"]["nominal"]["p_tag_ge_2"].tolist()


@pytest.mark.skipif(not is_installed("ROOT"), reason="ROOT is not installed")
def test_the_block_of_root_runs(ran: dict[str, Any], folder: Path) -> None:
    (code,) = [block for block in blocks("python") if "import ROOT" in block]
    with warnings.catch_warnings():
        # What the wheel says of itself when it is imported.
        warnings.filterwarnings("ignore", message=r"\s*This distribution of ROOT is in alpha")
        run(code, ran)
    total = float(ran["frame"].Sum("weight").GetValue())
    np.testing.assert_allclose(total, float(ak.sum(ran["weight"])), rtol=1e-6)


def test_the_config_of_the_page_is_one() -> None:
    (block,) = blocks("yaml")
    sample = yaml.safe_load(block)["samples"]["ttbar"]
    config = checked(stated(sample["variations"]))
    assert list(config.samples)[:4] == ["ttbar", "ttbar_jes_up", "ttbar_jes_down", "ttbar_harder"]
    reader = config.reader_of("ttbar_jes_up")
    assert isinstance(reader, ReaderOptions)
    assert reader.columns["pt"] == "Jet_pt_jesTotalUp"
