"""The file of weights of a sample in blocks: that of the whole sample, events without jets too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scale_factor_files import cms_options, write_cms

from conftest import make_jets
from truthtag.data.event_tables import EventTables, with_last
from truthtag.data.files import ParquetBlocks, atomic_write, read_frame, read_metadata, write_frame
from truthtag.data.jets import Jets, write_jets
from truthtag.errors import DataError
from truthtag.estimators.prediction_files import write_prediction
from truthtag.estimators.predictions import Prediction
from truthtag.estimators.sample_blocks import SampleBlocks
from truthtag.weights.events import weights_table
from truthtag.weights.sample_weights import Selection, sample_weights
from truthtag.weights.scale_factors import ScaleFactors
from truthtag.weights.weights_file import WeightsFile

FLAVOURS = {"b": 5, "c": 4, "light": 0}
N_JETS = [0, 2, 1, 0, 0, 3, 2, 0, 4, 1, 2, 0]


def everything() -> tuple[Jets, Prediction, pd.DataFrame]:
    """Events with and without jets, their efficiencies, and the table of all of them."""
    jets = make_jets(N_JETS, eta=np.linspace(-2, 2, sum(N_JETS)))
    table = {"event": jets.event, "weight": jets.weight, "n_jets": jets.multiplicity}
    jets = jets.take(jets.multiplicity > 0)
    values = np.random.default_rng(1).uniform(0.1, 0.9, jets.n_jets)
    return jets, Prediction(jets.per_jet("event"), values), pd.DataFrame(table)


def written(folder: Path, events: pd.DataFrame | None, block: int, factors: ScaleFactors | None):
    tables = EventTables(sorted(folder.glob("events*"))) if events is not None else None
    target = folder / "weights.parquet"
    with atomic_write(target) as temporary, ParquetBlocks(temporary, {}, target) as file:
        weights = WeightsFile(file, {"seed": 1}, factors)
        sample = SampleBlocks(
            sorted(folder.glob("jets*")), {"q": folder / "p.parquet"}, None, block
        )
        for one, is_last in with_last(sample):
            rows = tables.take_for(one.jets, is_last) if tables else None
            weights.write(one.jets, one.predictions["q"], Selection(2), rows)
        weights.finish()
    return read_frame(target), read_metadata(target)


def spread_over_files(folder: Path) -> tuple[Jets, Prediction, pd.DataFrame]:
    jets, prediction, events = everything()
    write_prediction(prediction, folder / "p.parquet", {})
    for number, (first, last) in enumerate(((0, 3), (3, 3), (3, jets.n_events))):
        write_jets([jets.take(slice(first, last))], folder / f"jets{number}.parquet")
    # An event without jets ends the first table, the second is empty.
    for number, (first, last) in enumerate(((0, 8), (8, 8), (8, len(events)))):
        write_frame(events[first:last], folder / f"events{number}.parquet")
    return jets, prediction, events


@pytest.mark.parametrize("block", [1, 2, 3, 100])
@pytest.mark.parametrize("with_table", [True, False])
def test_weights_do_not_depend_on_blocks(block: int, with_table: bool, tmp_path: Path) -> None:
    jets, prediction, events = spread_over_files(tmp_path)
    factors = ScaleFactors.from_options(
        cms_options(write_cms(tmp_path / "sf.json"), working_point="M"), FLAVOURS, ()
    )
    table = events if with_table else None
    found, metadata = written(tmp_path, table, block, factors)
    weights = sample_weights(jets, prediction.values, Selection(2), factors)
    expected, effective = weights_table(jets, weights.counts, table, weights.factors)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert metadata["effective_events"] == pytest.approx(effective, rel=1e-12)
    assert metadata["seed"] == 1
    for name, numbers in weights.notes.items():
        assert metadata["scale_factors"][name] == numbers


def test_tables_of_other_events_are_refused(tmp_path: Path) -> None:
    _, _, events = spread_over_files(tmp_path)
    for changed, message in (
        (events.assign(n_jets=events["n_jets"] + (events["event"] == 9)), r"event 9 has 2 jets"),
        (events[events["event"] != 6], r"the table of events: event 8 has 4 jets .* sample has 0"),
        (pd.concat([events, events[:1]]), r"an event stands in it twice"),
        (events.drop(columns="n_jets"), r"events0\.parquet: column 'n_jets' is missing"),
    ):
        for file in tmp_path.glob("events*"):
            file.unlink()
        write_frame(changed, tmp_path / "events0.parquet")
        with pytest.raises(DataError, match=message):
            written(tmp_path, changed, 2, None)
        assert not (tmp_path / "weights.parquet").exists()


def test_scale_factors_are_judged_by_the_whole_sample(tmp_path: Path) -> None:
    """One jet of many has a tag that its efficiency excludes: in its block it is one of two."""
    jets = make_jets([1] * 40, flavour=np.full(40, 5, dtype=np.int8))
    jets = jets.with_columns(is_tagged=np.zeros(40, dtype=bool))
    values = np.full(40, 0.5)
    values[3] = 1.0
    write_jets([jets], tmp_path / "jets0.parquet")
    write_prediction(Prediction(jets.per_jet("event"), values), tmp_path / "p.parquet", {})
    path = write_cms(tmp_path / "sf.json")
    for allowed in (0.03, 0.02):
        options = cms_options(path, working_point="M", max_excluded=allowed)
        factors = ScaleFactors.from_options(options, FLAVOURS, ())
        if allowed > 1 / 40:
            found, _ = written(tmp_path, None, 2, factors)
            assert len(found) == 40
            continue
        with pytest.raises(DataError, match=r"jet 0 of event 3 .*1 such jets of 40"):
            written(tmp_path, None, 2, factors)
