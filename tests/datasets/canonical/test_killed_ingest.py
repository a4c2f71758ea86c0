"""An ingest that is killed leaves what was committed whole; the next one ends as if nothing had happened, and tidies up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset, write_log

ROOT = Path(__file__).parents[3]
DAYS = [f"2024-03-0{day}" for day in range(1, 6)]
MOMENTS = {
    "while rows are spilled": ("ok_ml.datasets.canonical.spilling.Spill._write_run", 3),
    "while files are written": ("pyarrow.parquet.write_table", 7),
    "between rejected rows and events": ("ok_ml.datasets.canonical.day_tables.part_pieces", 2),
    "before a manifest is in place": ("ok_ml.lake.replace_file", 4),
}
CHILD = """
import os, pkgutil, signal, sys
from pathlib import Path
from ok_ml.datasets.canonical import ingest
from ok_ml.datasets.canonical import spilling
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset
root, place, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
owner, _, name = place.rpartition(".")
found, left = pkgutil.resolve_name(owner), [count]
real = getattr(found, name)
def die(*given, **named):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
setattr(found, name, die)
sizes = Sizes(block_bytes=300, spill_bytes=400, group_rows=20)
ingest.ingest_events(dataset({}), Lake(root / "lake"), sys.argv[4:], root=root, sizes=sizes)
"""


def everything(lake: Lake) -> dict[tuple[str, str], tuple[str, int, list[bytes]]]:
    """Of each committed partition its data version, its rows and the bytes of its files."""
    found = [
        lake.manifest("tiny", table, dt)
        for table in ("events", "rejected_events")
        for dt in lake.partitions("tiny", table)
    ]
    return {
        (m.table, m.partition): (m.data_version, m.rows, [(lake.folder(m) / name).read_bytes() for name in m.files])
        for m in found
    }


def folders(lake: Lake) -> list[str]:
    """Every version folder, and whatever is in the scratch folder."""
    versions = [path.relative_to(lake.root).as_posix() for path in lake.root.glob("tiny/*/*/v-*")]
    return sorted([*versions, *(path.name for path in lake.root.glob("_scratch/*"))])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_ingest(tmp_path: Path, moment: str) -> None:
    rows = [
        f"{u},{u % 3},{u % 7},{'liked' if u % 5 else 'broke'},{day}T0{u % 9}:00:00" for u in range(15) for day in DAYS
    ]
    write_log(tmp_path, *rows)
    lake, config = Lake(tmp_path / "lake"), dataset({})
    [first] = ingest_events(config, lake, DAYS[:1], root=tmp_path)
    before = everything(lake)
    place, count = MOMENTS[moment]
    command = [sys.executable, "-c", CHILD, str(tmp_path), place, str(count), *DAYS]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    left = everything(lake)
    assert before.items() <= left.items()
    assert len(folders(lake)) > len(left)  # something was left behind
    reports = ingest_events(config, lake, partitions_of(config, lake, root=tmp_path), root=tmp_path)
    assert not reports[0].written
    assert reports[0].manifest == first.manifest
    calm = Lake(tmp_path / "calm")
    ingest_events(config, calm, DAYS, root=tmp_path)
    assert everything(lake) == everything(calm)
    assert left.items() <= everything(lake).items()
    current = {lake.folder(lake.manifest("tiny", table, dt)) for table, dt in everything(lake)}
    assert lake.sweep() == list((lake.root / "_scratch").iterdir()) == []
    old = {lake.root / name for name in folders(lake)} - current
    assert all((folder / "_committed").exists() for folder in old)  # a version that was current: kept for its readers
    assert {folder.parent.parent.name for folder in old} <= {"rejected_events"}


def test_what_a_running_process_holds_is_not_swept(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.scratch("mine") as mine, lake.staged("tiny", "events", "2024-03-01") as staged:
        (mine / "rows").touch()
        assert lake.sweep() == []
        assert (mine / "rows").exists()
        assert staged.is_dir()
    assert list((tmp_path / "_scratch").iterdir()) == []
    assert not mine.exists()
