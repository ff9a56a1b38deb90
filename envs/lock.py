"""Write requirements.txt and truthtag.yaml: the packages of this environment that are needed."""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
HEADER = """# Every package that truthtag, its workflow and its tests need, as tested.
# Made by 'make lock'.
"""
CONDA = """# The environment of requirements.txt for --software-deployment-method conda.
# Made by 'make lock'.
# truthtag itself is added by truthtag.post-deploy.sh.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""

LEFT_OUT = ("htcondor",)
"""Extras that are not locked."""


def wanted() -> list[Requirement]:
    """Return what pyproject.toml asks for, extras included but for those that are left out."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    extras = [lines for name, lines in optional.items() if name not in LEFT_OUT]
    return [
        Requirement(line)
        for line in [*project["dependencies"], *(line for extra in extras for line in extra)]
    ]


def installed(requirements: list[Requirement]) -> dict[str, str]:
    """Return the installed versions of some packages and of all that they need."""
    found: dict[str, str] = {}
    queue = [(requirement, {""}) for requirement in requirements]
    seen = set()
    while queue:
        requirement, extras = queue.pop()
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras
        ):
            continue
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        package = distribution(requirement.name)
        # A local version (+cpu) names a build, not a release.
        found[key[0]] = package.version.split("+")[0]
        queue += [(Requirement(line), requirement.extras | {""}) for line in package.requires or []]
    return dict(sorted(found.items()))


if __name__ == "__main__":
    pins = [f"{name}=={version}" for name, version in installed(wanted()).items()]
    (HERE / "requirements.txt").write_text(HEADER + "".join(f"{pin}\n" for pin in pins))
    (HERE / "truthtag.yaml").write_text(CONDA + "".join(f"      - {pin}\n" for pin in pins))
