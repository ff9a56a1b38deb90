"""Reading an experiment's files: events a second and peak memory, beside uproot alone."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.chain import peak_memory
from benchmarks.timing import Row, Toy, alternate
from tests.nano import write_nano
from truthtag.data.labels import Labels
from truthtag.data.readers.convert import convert
from truthtag.data.readers.options import ReaderOptions

EVENTS = 1_000_000
STEP = 50_000
BRANCHES = [
    *("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_hadronFlavour", "Jet_btag"),
    *("genWeight", "run", "luminosityBlock", "event"),
]
CONVERT = """
from pathlib import Path
from benchmarks.readers import convert_nano
convert_nano(Path("{path}"))
"""


def reader_rows(toy: Toy) -> list[Row]:
    """Measure reading a file of NanoAOD's layout, where uproot is installed."""
    if find_spec("uproot") is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nano.root"
        write_nano(toy.sample(EVENTS), path, np.random.default_rng(1))
        alone, ours = alternate([lambda: read_alone(path), lambda: convert_nano(path)], 3)
        memory = None
        if Path("/proc/self/status").exists():
            memory = peak_memory(CONVERT.format(path=path))
    events = f"{EVENTS:,} events of NanoAOD"
    rows = [
        Row(f"reading {events}, uproot alone", EVENTS / alone, "events/s"),
        Row(f"reading, checking and writing {events}", EVENTS / ours, "events/s", alone / ours),
    ]
    if memory is not None:
        rows.append(Row(f"peak memory, reading {events}", memory, "MB"))
    return rows


def read_alone(path: Path) -> int:
    """Read the branches that are needed, and do nothing with them."""
    import uproot

    count = 0
    with uproot.open(path) as file:
        for arrays in file["Events"].iterate(BRANCHES, step_size=STEP, how=dict):
            count += len(arrays["event"])
    return count


def convert_nano(path: Path) -> int:
    """Turn the file into a shard and a table of events."""
    options = ReaderOptions(
        format="nanoaod", discriminant="Jet_btag", pt=(20.0, None), abs_eta=(None, 2.5)
    )
    labels = Labels((0, 4, 5), ("medium",))
    counts = convert(
        path, options, labels, {"medium": 0.5}, {}, 1.0, None, path.with_suffix(".jets.parquet"),
        path.with_suffix(".events.parquet"), {},
    )  # fmt: skip
    return counts.entries
