"""Arrows point one way: what each part of the library may import."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT

LIBRARY = ROOT / "src/truthtag"


def _load_picture() -> ModuleType:
    path = ROOT / "docs/architecture_picture.py"
    spec = importlib.util.spec_from_file_location("architecture_picture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


picture = _load_picture()
FILES = sorted(LIBRARY.rglob("*.py"))
MODULES = [file for file in FILES if file != LIBRARY / "__init__.py"]
PACKAGES = [file for file in MODULES if file.name == "__init__.py"]
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def room(file: Path) -> str:
    """Return the room that a file is in: a folder, or its own name at the top of the library."""
    return file.relative_to(LIBRARY).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_modules_use_only_what_is_below_them(file: Path) -> None:
    order = (*picture.BASE, *picture.ORDER)
    allowed = order[: order.index(room(file)) + 1]
    for name in picture.imports_of(file):
        if name.split(".")[0] == "truthtag":
            assert picture.room_of(name) in allowed, f"{name_of(file)} imports {name}"


@pytest.mark.parametrize("file", [*MODULES, *SCRIPTS], ids=name_of)
def test_imports_name_the_module_that_defines(file: Path) -> None:
    """The public names are for users: inside, an import says which module is meant."""
    for name in picture.imports_of(file):
        assert not name.startswith("."), f"{name_of(file)}: import from truthtag.{name} instead"
        if name.split(".")[0] != "truthtag":
            continue
        module = LIBRARY.joinpath(*name.split(".")[1:])
        parent = module.parent
        assert parent.with_suffix(".py").is_file() or module.with_suffix(".py").is_file(), (
            f"{name_of(file)} imports {name}, which is no module and in none"
        )


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_outside_packages_are_used_where_they_may_be(file: Path) -> None:
    used = {name.split(".")[0] for name in picture.imports_of(file)}
    assert not used & {"snakemake", "snakemake_interface_executor_plugins"}, name_of(file)
    plots = LIBRARY / "figures/plots"
    assert plots in file.parents or not used & {"matplotlib", "mplhep"}, name_of(file)


@pytest.mark.parametrize("file", PACKAGES, ids=name_of)
def test_packages_hold_a_docstring_only(file: Path) -> None:
    body = ast.parse(file.read_text()).body
    assert len(body) == 1, f"{name_of(file)}: move what it holds into a module"
    assert isinstance(body[0], ast.Expr)


def test_the_library_has_the_rooms_of_the_design() -> None:
    rooms = {room(file) for file in MODULES}
    assert rooms <= {*picture.BASE, *picture.ORDER}


def test_the_picture_of_the_architecture_is_up_to_date() -> None:
    page = picture.PAGE.read_text()
    assert page == picture.with_picture(page), "run python docs/architecture_picture.py"
    assert page.count("```mermaid") == 1


def test_the_picture_leaves_out_detours() -> None:
    arrows = {"data": set(), "toy": {"data"}, "estimators": {"toy", "data"}}
    assert picture.without_detours(arrows)["estimators"] == {"toy"}


def test_imports_for_type_checkers_are_no_arrows(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n\ndef f():\n    from c import d\n"
    )
    assert picture.imports_of(file) == {"b", "c.d"}
