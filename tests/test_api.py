"""The public names, and what importing them costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

import truthtag
from conftest import ROOT
from truthtag.estimators.protocol import KINDS
from truthtag.toy.generation import GENERATORS
from truthtag.toy.truth import TRUTHS

HEAVY = ("boost_histogram", "hist", "lightgbm", "matplotlib", "pandas", "scipy", "torch")
REGISTRIES = (GENERATORS, TRUTHS, KINDS)


def loaded_by(code: str) -> list[str]:
    """Run code in a fresh Python and return the modules that it has loaded then."""
    ask = f"{code}; import json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", ask], check=True, capture_output=True, text=True, cwd=ROOT / "src"
    )
    names: list[str] = json.loads(done.stdout)
    return names


@pytest.mark.parametrize("name", truthtag.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    assert getattr(truthtag, name).__doc__


def test_the_package_offers_the_names_of_the_design() -> None:
    promised = {
        *("Jets", "read_jets", "write_jets", "load", "Ensemble", "predict", "tag_counts"),
        *("assign_tags", "hybrid", "closure_test", "Histogram", "Domain"),
        *("DataError", "ConfigError"),
    }
    assert promised <= set(truthtag.__all__)
    assert set(truthtag.__all__) <= set(dir(truthtag))
    assert sorted(truthtag.__all__) == sorted(truthtag._MODULES)
    with pytest.raises(AttributeError, match="module 'truthtag' has no attribute 'jets_of'"):
        _ = truthtag.jets_of


def test_type_checkers_see_what_is_loaded() -> None:
    tree = ast.parse((ROOT / "src/truthtag/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        for alias in line.names:
            seen[alias.name] = str(line.module).removeprefix("truthtag.")
    assert seen == truthtag._MODULES


def test_importing_the_package_loads_nothing() -> None:
    loaded = loaded_by("import truthtag")
    assert not {"numpy", "pydantic", "pyarrow", *HEAVY} & set(loaded)
    assert [name for name in loaded if name.startswith("truthtag")] == ["truthtag"]


def test_what_the_config_needs_loads_nothing_slow() -> None:
    """Snakemake reads the config in every job: options of all kinds must load at once."""
    places = [place for registry in REGISTRIES for place in registry.entries.values()]
    modules = ["truthtag.workflow.digests", "truthtag.workflow.logs", "truthtag.workflow.options"]
    modules += [place.partition(":")[0] for place in places]
    for module in modules:
        assert (ROOT / "src" / module.replace(".", "/")).with_suffix(".py").is_file(), module
    assert not set(HEAVY) & set(loaded_by(f"import {', '.join(modules)}"))
