"""Files that appear whole or not at all, and damage that is noticed on reading."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from truthtag.data.files import (
    METADATA_KEY,
    NAME_COLUMNS,
    atomic_write,
    is_ours,
    read_csv,
    read_frame,
    read_metadata,
    read_table,
    write_frame,
    write_table,
)
from truthtag.data.jets import Jets, read_jets, write_jets
from truthtag.errors import DataError


def small_frame() -> pd.DataFrame:
    return pd.DataFrame({"name": ["b", "c", "007"], "value": [0.1, 0.2, 0.3], "n": [1, 2, 3]})


def flips(path: Path, count: int, seed: int) -> list[bytes]:
    """Return copies of a file's bytes with one random bit flipped in each."""
    whole = path.read_bytes()
    bits = np.random.default_rng(seed).choice(8 * len(whole), count, replace=False)
    copies = []
    for bit in bits.tolist():
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        copies.append(bytes(changed))
    return copies


@pytest.mark.parametrize("kind", ["sample", "frame"])
def test_no_flipped_bit_gives_another_content(few: Jets, tmp_path: Path, kind: str) -> None:
    good = tmp_path / "good.parquet"
    if kind == "sample":
        write_jets([few.take(slice(0, 150)), few.take(slice(150, 300))], good, {"seed": 7})
    else:
        write_frame(small_frame(), good, {"map": {"kind": "binned"}})
    frame = read_frame(good)
    metadata = read_metadata(good)
    noticed = 0
    for changed in flips(good, 200, seed=1):
        damaged = tmp_path / "damaged.parquet"
        damaged.write_bytes(changed)
        try:
            again = read_frame(damaged)
            origin = read_metadata(damaged)
        except DataError:
            noticed += 1
            continue
        # Harmless: the seal itself, say.
        pd.testing.assert_frame_equal(again, frame, check_exact=True)
        assert origin == metadata
    assert noticed >= 180


def test_metadata_of_a_damaged_footer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_frame(small_frame(), path, {"map": {"kind": "binned"}})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"binned"', b'"bimned"'))
    with pytest.raises(DataError, match=r"a\.parquet: is damaged \(its footer differs"):
        read_metadata(path)
    with pytest.raises(DataError, match=r"a\.parquet: is damaged"):
        read_table(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet.*make it again"):
        read_metadata(path)
    with pytest.raises(DataError, match=r"b\.parquet: no such file"):
        read_metadata(tmp_path / "b.parquet")


@pytest.mark.parametrize("stored", ["{not json", "[1]"])
def test_metadata_that_are_no_json_are_refused(tmp_path: Path, stored: str) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({METADATA_KEY: stored})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: its metadata is no "):
        read_metadata(tmp_path / "a.parquet")


def test_our_files_are_told_from_those_of_others(few: Jets, tmp_path: Path) -> None:
    ours = tmp_path / "ours.parquet"
    write_jets([few], ours)
    assert is_ours(ours)
    write_frame(small_frame(), tmp_path / "frame.parquet")
    assert is_ours(tmp_path / "frame.parquet")
    pq.write_table(read_table(ours), tmp_path / "copy.parquet")
    pd.read_parquet(ours).to_parquet(tmp_path / "pandas.parquet")
    (tmp_path / "short.parquet").write_bytes(b"PAR1")
    for name in ("copy.parquet", "pandas.parquet", "short.parquet", "absent.parquet", "."):
        assert not is_ours(tmp_path / name), name
    # Other programs read ours, and we read theirs.
    pd.testing.assert_frame_equal(pd.read_parquet(ours), read_frame(tmp_path / "copy.parquet"))


def test_a_column_that_stands_there_twice_is_refused(few: Jets, tmp_path: Path) -> None:
    table = few.to_table()
    pq.write_table(table.append_column("pt", table["pt"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: column 'pt' stands there twice"):
        read_jets(tmp_path / "a.parquet")


def test_a_folder_where_a_file_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    for read in (read_table, read_metadata):
        with pytest.raises(DataError, match=r"a\.parquet: is a folder, a file is wanted"):
            read(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be written \(Is a directory\)"):
        write_frame(small_frame(), tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_full_disk_names_the_file(
    few: Jets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    message = r"a\.parquet: cannot be written \(No space left on device\). Free some space"
    with pytest.raises(DataError, match=message):
        write_frame(small_frame(), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        write_jets([few], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_errors_of_reading_are_not_taken_for_those_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        (tmp_path / "other").read_text()
    with (
        pytest.raises(DataError, match=r"a\.txt: cannot be written \(No such file or directory"),
        atomic_write(tmp_path / "a.txt"),
    ):
        pass


def test_names_in_a_csv_stay_names(tmp_path: Path) -> None:
    names = ["007", "NA", "nan", "true", "1e3", "None", "b"]
    frame = pd.DataFrame(dict.fromkeys(NAME_COLUMNS, names))
    frame["yield"] = [0.5, np.nan, 1.0, 2.0, np.inf, -1.0, 1e-300]
    frame["passed"] = [True, False] * 3 + [True]
    frame["count"] = range(7)
    write_frame(frame, tmp_path / "a.csv")
    again = read_csv(tmp_path / "a.csv")
    for name in NAME_COLUMNS:
        assert again[name].tolist() == names, name
    pd.testing.assert_frame_equal(again.drop(columns=[*NAME_COLUMNS]), frame.iloc[:, -3:])


def test_cells_that_are_empty_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("network,seeds,loss\n007,1,0.5\n,,\n")
    frame = read_csv(tmp_path / "a.csv", dtype={"seeds": "Int64"})
    assert frame["network"].isna().tolist() == [False, True]
    assert frame["seeds"].dtype == "Int64"
    assert frame["loss"].isna().tolist() == [False, True]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n1,2,3,4\n", b"a\n\xff\xfe\n"])
def test_a_damaged_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(DataError, match=r"a\.csv: no such file"):
        read_csv(path)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.csv: cannot be read as a table .* make it again"):
        read_csv(path)


def test_a_table_keeps_its_metadata(tmp_path: Path) -> None:
    write_table(pa.table({"a": [1, 2]}), tmp_path / "a.parquet", {"seed": [1, "x"]})
    assert read_metadata(tmp_path / "a.parquet") == {"seed": [1, "x"]}
    assert read_table(tmp_path / "a.parquet", only=("a", "b"))["a"].to_pylist() == [1, 2]
