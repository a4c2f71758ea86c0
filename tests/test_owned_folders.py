"""Folders of running processes: while one is being made, nobody may take it for left."""

import fcntl
import threading
from pathlib import Path

from ok_ml.owned_folders import owned, remove_left


def test_an_owner_waits_for_whoever_is_looking_at_its_lock(tmp_path: Path) -> None:
    """A lock file that was opened before its owner had locked it: the owner makes another one, and its folder stays."""
    locks, folder = tmp_path / "locks", tmp_path / "mine"
    locks.mkdir()
    lock = locks / "mine.lock"
    entered, leave = threading.Event(), threading.Event()

    def own() -> None:
        with owned(tmp_path, folder, locks):
            folder.mkdir()
            entered.set()
            leave.wait(10)

    with lock.open("w+b") as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        owner = threading.Thread(target=own)
        owner.start()
        assert not entered.wait(0.2)
        lock.unlink()
    assert entered.wait(10)
    assert remove_left(tmp_path, locks, lambda _: False) == []
    assert folder.is_dir()
    leave.set()
    owner.join()
    assert not list(locks.iterdir())


def test_a_folder_without_an_owner_is_removed_unless_it_is_kept(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    for name in ("left", "kept"):
        (tmp_path / name).mkdir()
        (locks / f"{name}.lock").write_text(name)
    assert remove_left(tmp_path, locks, lambda folder: folder.name == "kept") == [tmp_path / "left"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["kept", "locks"]
