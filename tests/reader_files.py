"""Small files for the readers, and short ways to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from conftest import ROOT
from truthtag.data.jets import Jets, concatenate
from truthtag.data.labels import Labels
from truthtag.data.readers.counts import Counts, total
from truthtag.data.readers.events import ReadChunk
from truthtag.data.readers.options import ReaderOptions
from truthtag.data.readers.reading import read_events

REAL = ROOT.parent / "shared/data"
NANO = REAL / "nano_tt_v15.root"
PHYSLITE = REAL / "PHYSLITE_example.root"
LABELS = Labels(flavours=(0, 4, 5), points=("medium",))
POINT = {"medium": 0.5}
SELECTION = {"pt": (20.0, None), "abs_eta": (None, 2.5)}


def options_of(**changes: Any) -> ReaderOptions:
    """Options for files of :func:`write_nano`."""
    usual = {"format": "nanoaod", "discriminant": "Jet_btag", **SELECTION}
    return ReaderOptions.model_validate(usual | changes)


def chunks_of(
    path: str | Path, options: ReaderOptions | None = None, labels: Labels = LABELS, **more: Any
) -> list[ReadChunk]:
    arguments = {"working_points": POINT, "inputs": {}} | more
    return list(read_events(path, options or options_of(), labels, **arguments))


def jets_of(path: str | Path, options: ReaderOptions | None = None, **more: Any) -> Jets:
    return concatenate([chunk.jets for chunk in chunks_of(path, options, **more)])


def counts_of(path: str | Path, options: ReaderOptions | None = None, **more: Any) -> Counts:
    return total(chunk.counts for chunk in chunks_of(path, options, **more))


def table_of(path: str | Path, options: ReaderOptions | None = None, **more: Any) -> pa.Table:
    return pa.concat_tables(chunk.events for chunk in chunks_of(path, options, **more))


def write_root(
    path: Path, branches: dict[str, Any], tree: str = "Events", *, ntuple: bool = False
) -> Path:
    """Write arrays, or lists of lists, as a tree."""
    import awkward as ak
    import uproot

    arrays = {name: ak.Array(values) for name, values in branches.items()}
    with uproot.recreate(path) as file:
        types = {name: array.type.content for name, array in arrays.items()}
        if ntuple:
            file.mkrntuple(tree, {name: str(kind) for name, kind in types.items()}).extend(arrays)
        else:
            file.mktree(tree, {name: str(kind) for name, kind in types.items()}).extend(arrays)
    return path


def two_events(**changes: Any) -> dict[str, Any]:
    """Branches of two events of three and two jets; the first out of order, one jet not scored."""
    usual = {
        "Jet_pt": [[30.0, 90.0, 60.0], [50.0, 40.0]],
        "Jet_eta": [[0.1, -1.2, 2.0], [0.0, 1.0]],
        "Jet_phi": [[0.0, 3.0, -3.0], [1.0, 2.0]],
        "Jet_mass": [[5.0, 6.0, 7.0], [8.0, 9.0]],
        "Jet_hadronFlavour": [[0, 5, 4], [0, 0]],
        "Jet_btag": [[0.9, 0.8, 0.1], [-1.0, 0.6]],
        "genWeight": [2.0, -1.0],
        "run": np.uint32([1, 1]),
        "luminosityBlock": np.uint32([7, 7]),
        "event": np.uint64([101, 100]),
    }
    return {name: values for name, values in (usual | changes).items() if values is not None}


def assert_found_again(found: Jets, written: Jets) -> None:
    """What is read must be what was written, value by value, but for the signs of weights."""
    assert np.array_equal(found.offsets, written.offsets)
    assert found.event_number is not None
    assert np.array_equal(found.event_number, written.event)
    for name in ("pt", "eta", "phi", "mass", "flavour", "is_tagged", "efficiency_true"):
        stored = getattr(written, name)
        if name in ("pt", "eta", "phi", "mass"):
            stored = stored.astype(np.float32)
        assert np.array_equal(getattr(found, name), stored), name
    assert np.array_equal(np.abs(found.weight), np.abs(written.weight))


WITH_TRUTH = {"columns": {"efficiency_true": "Jet_eff"}}
