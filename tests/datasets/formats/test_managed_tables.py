"""A folder with a log of its own is not read as plain files, wherever a path enters it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.formats.locations import files_of
from ok_ml.datasets.onboarding.audit.checking import check_dataset
from ok_ml.datasets.onboarding.guess.preview import preview_file
from ok_ml.errors import DataError
from ok_ml.lake import Lake
from tests.datasets.formats.test_remote_files import S3, s3, uri_of
from tests.datasets.raw_log import dataset

__all__ = ["s3"]
DAY = "2024-03-01"
MARKS = {
    "_delta_log/00000000000000000000.json": "Delta Lake.*deltalake",
    ".hoodie/hoodie.properties": "Apache Hudi.*hudi",
    "metadata/v3.metadata.json": "Apache Iceberg.*pyiceberg",
    "metadata/version-hint.text": "Apache Iceberg",
    "metadata/00001-0b9c.metadata.json": "Apache Iceberg",
    "metadata/00001-0b9c.gz.metadata.json": "Apache Iceberg",
    "snapshot/LATEST": "Apache Paimon",
}


def table(folder: Path, mark: str, data: str = "") -> Path:
    """A table's folder with a data file that was rewritten after a row was deleted, the old file still there."""
    rows = {"who": [1, 2], "what": [10, 11], "thing": [3, 4], "did": ["liked", "opened"], "when": [DAY, DAY]}
    for name, count in (("part-0.parquet", 2), ("part-1.parquet", 1)):
        (folder / data).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(rows).slice(0, count), folder / data / name)
    (folder / mark).parent.mkdir(exist_ok=True)
    (folder / mark).write_text("{}")
    return folder


@pytest.mark.parametrize(("mark", "told"), MARKS.items())
@pytest.mark.parametrize("data", ["", "data", f"dt={DAY}", "a/b"])
def test_it_is_refused_at_preview_check_and_ingest(tmp_path: Path, lake: Lake, mark: str, told: str, data: str) -> None:
    table(tmp_path / "log", mark, data)
    said = rf"(?s)log is a table of {told}"
    for path in (f"log/{data}/*.parquet", f"log/{data}/part-0.parquet", "**/*.parquet", "log", f"log/{data}/*.csv"):
        config = dataset({"path": path, "format": "parquet"})
        with pytest.raises(DataError, match=said):
            check_dataset(config, lake, tmp_path)
        with pytest.raises(DataError, match=said):
            ingest_events(config, lake, [DAY], root=tmp_path)
    for file in (tmp_path / "log" / data / "part-1.parquet", tmp_path / "log"):
        with pytest.raises(DataError, match=said):
            preview_file(file, "mine", tmp_path, shown=1)
    assert lake.partitions("tiny", "events") == []


def test_a_dated_path_and_a_link_lead_into_it_too(tmp_path: Path, lake: Lake) -> None:
    table(tmp_path / "log", "_delta_log/0.json", f"dt={DAY}")
    (tmp_path / "link").symlink_to(tmp_path / "log" / f"dt={DAY}")
    for path in ("log/dt={dt}/*.parquet", "link/*.parquet", f"file://{tmp_path}/log/dt={DAY}/*.parquet"):
        with pytest.raises(DataError, match="is a table of Delta Lake"):
            ingest_events(dataset({"path": path, "format": "parquet"}), lake, [DAY], root=tmp_path)


def test_folders_that_are_called_alike_are_none(tmp_path: Path, lake: Lake) -> None:
    for name in ("metadata/about.json", "snapshot/photo.jpg", "delta_log/0.json"):
        table(tmp_path / "log", name)
    config = dataset({"path": "log/part-*.parquet", "format": "parquet"})
    assert [report.manifest.rows for report in ingest_events(config, lake, [DAY], root=tmp_path)] == [3]


def test_in_an_object_store(tmp_path: Path, s3: S3) -> None:
    for mark, told in MARKS.items():
        place = f"bucket/{told[:12].replace(' ', '')}{len(mark)}"
        s3.objects |= {f"{place}/dt={DAY}/a.parquet": b"x", f"{place}/{mark}": b"{}"}
        for path in (f"{place}/dt={DAY}/a.parquet", f"{place}/dt=*/*.parquet"):
            with pytest.raises(DataError, match=rf"(?s)s3://{place} is a table of {told}"):
                files_of(uri_of(s3, path), tmp_path, "tiny.events.path")
