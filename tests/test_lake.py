"""Which versions of a partition stay on disk."""

import os
import time
from pathlib import Path

from ok_ml.lake import Lake, Manifest, tree_sha256


def commit(lake: Lake, text: str, inner: str = "rows.txt") -> Manifest:
    with lake.staged("s", "t") as folder:
        (folder / inner).parent.mkdir(exist_ok=True)
        (folder / inner).write_text(text)
        return lake.commit(folder, rows=1, data_version=text)


def versions(lake: Lake) -> set[str]:
    return {path.name for path in (lake.root / "s" / "t" / "all").iterdir()}


def test_the_version_before_stays_for_its_readers(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    made = [commit(lake, str(number)).version for number in range(4)]
    assert versions(lake) == {made[2], made[3]}


def test_the_version_before_stays_also_if_its_folder_looks_older(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first, second = commit(lake, "1"), commit(lake, "2")
    for path in (lake.folder(second), lake.folder(second) / "_committed"):
        os.utime(path, (1, 1))
    third = commit(lake, "3")
    assert {second.version, third.version} <= versions(lake)
    assert first.version not in versions(lake) or len(versions(lake)) == 3


def test_what_is_being_staged_neither_counts_nor_goes(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = commit(lake, "1")
    with lake.staged("s", "t") as open_folder:
        second = commit(lake, "2")
        assert versions(lake) == {first.version, second.version, open_folder.name}
        os.utime(open_folder, (time.time() - 90_000,) * 2)  # as if its process had been killed the day before
        third = commit(lake, "3")
        assert versions(lake) == {second.version, third.version}


def test_files_of_inner_folders_are_part_of_the_partition(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    manifest = commit(lake, "1", "inner/rows.txt")
    assert manifest.files == ("inner/rows.txt",)
    before = tree_sha256(lake.folder(manifest))
    (lake.folder(manifest) / "inner" / "rows.txt").write_text("2")
    assert tree_sha256(lake.folder(manifest)) != before
    assert tree_sha256(lake.folder(manifest), without=("inner/rows.txt",)) == tree_sha256(tmp_path / "nothing")
