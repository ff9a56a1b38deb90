"""What ``truthtag weigh`` reads, and which files it writes for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from truthtag.errors import ConfigError

__all__ = ["Job", "is_sample_of_ours", "jobs_of"]

TREE = ".root"
TABLE = ".parquet"

STEM = ".weights"
"""What the name of an output has before its suffix, so that it is never that of its input."""


@dataclass(frozen=True)
class Job:
    """One input, and what is written for it.

    Args:
        source: The input.
        is_sample: Whether it is a sample of ours, a row per jet.
        root_path: The tree to write, or None.
        parquet_path: The table to write, or None.
    """

    source: str
    is_sample: bool
    root_path: Path | None
    parquet_path: Path | None

    @property
    def targets(self) -> list[Path]:
        """What is written."""
        return [path for path in (self.root_path, self.parquet_path) if path is not None]


def jobs_of(inputs: Sequence[str], output: str, *, parquet: bool = False) -> list[Job]:
    """Return what is written for each input.

    Args:
        inputs: Samples of ours, and files of the user.
        output: A folder, or the file to write for a single input.
        parquet: Whether to write a Parquet table beside each tree.

    Raises:
        ConfigError: An output is an input, or is there already and none of ours; two inputs would
            have one output; or a sample of ours is to have a tree.
        DataError: An input is damaged.
    """
    from truthtag.exports.friends import require_output

    jobs = [_job(source, output, len(inputs), parquet) for source in inputs]
    owners: dict[Path, str] = {}
    for job in jobs:
        for target in job.targets:
            require_output(target, inputs)
            place = target.resolve()
            if place in owners:
                msg = (
                    f"{target}: would be written for {owners[place]} and for {job.source}, too; "
                    "weigh them one by one, each with an --output of its own"
                )
                raise ConfigError(msg)
            owners[place] = job.source
    return jobs


def _job(source: str, output: str, n_inputs: int, parquet: bool) -> Job:
    is_sample = is_sample_of_ours(source)
    is_table = is_sample or source.endswith(TABLE)
    target = Path(output)
    if target.is_dir() or not output.endswith((TREE, TABLE)):
        name = Path(source).name.removesuffix(TABLE).removesuffix(TREE)
        target = target / f"{name}{STEM}{TABLE if is_table else TREE}"
    elif n_inputs > 1:
        msg = f"{output}: is one file, and there are {n_inputs} inputs. Name a folder for them."
        raise ConfigError(msg)
    if target.suffix == TABLE:
        return Job(source, is_sample, None, target)
    if is_table:
        msg = (
            f"{output}: a ROOT file can be no friend of {source}, which is no tree. Name a "
            ".parquet file, or a folder."
        )
        raise ConfigError(msg)
    return Job(source, is_sample, target, target.with_suffix(TABLE) if parquet else None)


def is_sample_of_ours(source: str) -> bool:
    """Return whether an input is a sample that truthtag wrote: a folder, or one file of it.

    Raises:
        DataError: It is damaged, or a folder without a Parquet file.
    """
    from truthtag.cli.scan import names_of
    from truthtag.cli.tables import SAMPLE, kind_of_table
    from truthtag.data.files import read_metadata
    from truthtag.data.jets import shards_of

    path = Path(source)
    if path.is_dir():
        path = shards_of(path)[0]
    if not path.is_file() or path.suffix != TABLE:
        return False
    return kind_of_table(read_metadata(path), names_of(path)) == SAMPLE
