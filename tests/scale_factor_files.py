"""Files of scale factors that tests write: look-alikes of CMS's, and tables of our own."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conftest import make_jets
from truthtag.data.jets import Jets
from truthtag.weights.scale_factor_table import COLUMNS

Node = Any
FLAVOURS = {"b": 5, "c": 4, "light": 0}
POINTS = ("L", "M", "T")
PT = [20.0, 30.0, 70.0, 300.0, 1000.0]
"""Edges of the look-alikes [GeV]."""
ABS_ETA = [0.0, 0.7, 1.6, 2.5]
"""0.7 is above its rounded number of single precision, 1.6 is below."""
INPUTS = (
    ("systematic", "string"),
    ("working_point", "string"),
    ("flavor", "int"),
    ("abseta", "real"),
    ("pt", "real"),
)


def category(name: str, items: dict[Any, Node], **more: Node) -> Node:
    """Choose by a name."""
    content = [{"key": key, "value": value} for key, value in items.items()]
    return {"nodetype": "category", "input": name, "content": content, **more}


def binning(name: str, edges: Any, content: Iterable[Node], flow: Node = "error") -> Node:
    """Choose by a number."""
    return {
        "nodetype": "binning",
        "input": name,
        "edges": edges,
        "content": list(content),
        "flow": flow,
    }


def formula(expression: str, variable: str = "pt") -> Node:
    """Compute, of one number."""
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": [variable],
    }


def transform(name: str, rule: Node, content: Node) -> Node:
    """Rewrite a number."""
    return {"nodetype": "transform", "input": name, "rule": rule, "content": content}


def correction(name: str, data: Node, inputs: Sequence[tuple[str, str]] = INPUTS) -> Node:
    """Make a correction of its tree."""
    return {
        "name": name,
        "version": 1,
        "inputs": [{"name": one, "type": type_} for one, type_ in inputs],
        "output": {"name": "weight", "type": "real"},
        "data": data,
    }


def write_corrections(path: Path, *corrections: Node, **more: Any) -> Path:
    """Write a correctionlib file, packed where its name says so."""
    text = json.dumps({"schema_version": 2, "corrections": list(corrections), **more})
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def level(systematic: str, point: str, flavour: int) -> float:
    """Scale factor at low pT of a look-alike: different for all that it is of."""
    shift = 0.0
    if systematic.startswith("up"):
        shift = 0.04 + 0.001 * len(systematic)
    if systematic.startswith("down"):
        shift = -0.03 - 0.001 * len(systematic)
    return 0.9 + 0.02 * POINTS.index(point) + 0.01 * flavour + shift


def in_bin(systematic: str, point: str, flavour: int, eta_bin: int, pt_bin: int) -> float:
    """Scale factor of a look-alike in a bin."""
    return level(systematic, point, flavour) + 0.003 * eta_bin + 0.0007 * pt_bin


def bins_of(systematic: str, point: str, flavour: int) -> Node:
    """Bins in abs(eta) and pT with numbers in them, as in the files of CMS."""
    rows = []
    for eta_bin in range(len(ABS_ETA) - 1):
        values = [
            in_bin(systematic, point, flavour, eta_bin, pt_bin) for pt_bin in range(len(PT) - 1)
        ]
        rows.append(binning("pt", PT, values))
    return binning("abseta", ABS_ETA, rows)


HEAVY = ("central", "up", "down", "up_jes", "down_jes")
LIGHT = ("central", "up", "down")


def tree(
    systematics: Sequence[str], flavours: Sequence[int], leaf: Callable[..., Node] = bins_of
) -> Node:
    """Make the tree of a correction: systematic, working point, flavour, then a leaf."""
    by_systematic = {}
    for systematic in systematics:
        by_point = {}
        for point in POINTS:
            leaves = {flavour: leaf(systematic, point, flavour) for flavour in flavours}
            by_point[point] = category("flavor", leaves)
        by_systematic[systematic] = category("working_point", by_point)
    return category("systematic", by_systematic)


def cms_corrections() -> tuple[Node, Node]:
    """Corrections as CMS publishes them: heavy and light jets apart."""
    comb = correction("deepJet_comb", tree(HEAVY, (5, 4)))
    return comb, correction("deepJet_light", tree(LIGHT, (0,)))


def write_cms(path: Path) -> Path:
    """Write a look-alike of CMS's file."""
    return write_corrections(path, *cms_corrections())


def cms_options(path: Path, **more: Any) -> dict[str, Any]:
    """Return options that read it."""
    return {"file": str(path), "heavy": "deepJet_comb", "light": "deepJet_light", **more}


def table_rows() -> pd.DataFrame:
    """Return the numbers of the look-alike as a table of our own."""
    rows = []
    bins = list(itertools.product(range(len(ABS_ETA) - 1), range(len(PT) - 1)))
    for flavour, systematics in ((5, HEAVY), (4, HEAVY), (0, LIGHT)):
        for systematic, point, (eta_bin, pt_bin) in itertools.product(systematics, POINTS, bins):
            value = in_bin(systematic, point, flavour, eta_bin, pt_bin)
            eta_ends = ABS_ETA[eta_bin : eta_bin + 2]
            pt_ends = PT[pt_bin : pt_bin + 2]
            rows.append((systematic, point, flavour, *eta_ends, *pt_ends, value))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_table(path: Path, frame: pd.DataFrame | None = None) -> Path:
    """Write a table of our own, as CSV or Parquet."""
    rows = table_rows() if frame is None else frame
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, index=False)
    return path


def jets_at(pt: Any, eta: Any, flavour: Any = 5, **more: Any) -> Jets:
    """Make events of one jet each."""
    size = np.broadcast(pt, eta, flavour).size
    columns = {
        "pt": np.broadcast_to(np.asarray(pt, dtype=np.float32), size),
        "eta": np.broadcast_to(np.asarray(eta, dtype=np.float32), size),
        "flavour": np.broadcast_to(np.asarray(flavour, dtype=np.int8), size),
    }
    return make_jets([1] * size, **columns, **more)
