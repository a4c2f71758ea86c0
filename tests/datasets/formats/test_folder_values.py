"""The date of a folder is the time where no column has it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.formats.folder_values import folder_values
from ok_ml.datasets.formats.locations import content_version
from ok_ml.datasets.onboarding.guess.preview import preview_file
from ok_ml.errors import ConfigError
from ok_ml.lake import Lake
from tests.datasets.formats.test_raw_files import read
from tests.datasets.raw_log import dataset

DAYS = [f"2024-03-0{day}" for day in range(1, 7)]
ROWS = {"user_id": [n % 40 for n in range(200)], "item_id": [n % 17 for n in range(200)]}


def parquet(path: Path) -> None:
    pq.write_table(pa.table(ROWS), path)


def csv(path: Path) -> None:
    path.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in zip(*ROWS.values(), strict=True)))


def jsonl(path: Path) -> None:
    path.write_text("".join(f'{{"user_id": {u}, "item_id": {i}}}\n' for u, i in zip(*ROWS.values(), strict=True)))


FOLDERS: dict[str, Callable[[str], str]] = {
    "dt=": lambda day: f"dt={day}",
    "date without hyphens": lambda day: f"date={day.replace('-', '')}",
    "parts": lambda day: f"year=2024/month=03/day={day[-2:]}",
    "parts without zeros": lambda day: f"year=2024/month=3/day={int(day[-2:])}",
    "hours": lambda day: f"dt={day}/hour=07",
    "a moment": lambda day: f"ts={day}%2007%3A00%3A00",
}


@pytest.mark.parametrize("write", [parquet, csv, jsonl])
@pytest.mark.parametrize("names", FOLDERS)
@pytest.mark.parametrize("alike", [True, False])
def test_a_folder_of_hive_is_guessed_and_read(
    tmp_path: Path, lake: Lake, write: Callable[[Path], None], names: str, alike: bool
) -> None:
    files = [
        tmp_path
        / "log"
        / FOLDERS[names](day)
        / (f"part-0.{write.__name__}" if alike else f"part-{day}-x.{write.__name__}")
        for day in DAYS
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file)
    config = preview_file(files[0], "mine", tmp_path, shown=1).proposal.config
    dts = partitions_of(config, lake, root=tmp_path)
    assert dts == DAYS
    assert [report.manifest.rows for report in ingest_events(config, lake, dts, root=tmp_path)] == [200] * 6


def test_a_column_of_the_file_comes_before_its_folder(tmp_path: Path, lake: Lake) -> None:
    folder = tmp_path / "dt=2024-03-01"
    folder.mkdir()
    (folder / "log.csv").write_text("who,what,thing,did,dt\n1,2,3,liked,2024-03-01T17:00:00\n")
    config = dataset({"path": "dt={dt}/log.csv", "time": {"columns": ["dt"]}})
    ingest_events(config, lake, ["2024-03-01"], root=tmp_path)
    assert lake.read("tiny", "events", ["2024-03-01"])["event_time"][0].as_py().hour == 17


def test_values_of_folders(tmp_path: Path) -> None:
    file = tmp_path / "a=1%2F2" / "b=__HIVE_DEFAULT_PARTITION__" / "=x" / "c=" / "d=1.csv"
    assert folder_values(file) == {"a": "1/2", "b": None, "c": ""}
    file.parent.mkdir(parents=True)
    file.write_text("who\n1\n2\n")
    assert read(file, ["a"], format="csv").table.to_pylist() == [{"a": "1/2"}, {"a": "1/2"}]
    with pytest.raises(ConfigError, match=r"has no column 'e'"):
        read(file, ["a", "e"], format="csv")


def test_the_same_file_in_another_folder_is_another_version(tmp_path: Path) -> None:
    files = [tmp_path / f"day={day}" / "a.csv" for day in (1, 2)]
    for file in files:
        file.parent.mkdir()
        csv(file)
    assert content_version(files[:1]) != content_version(files[1:])
