"""Reading sealed LMDB generations.

The rules that keep answers whole: CURRENT is looked at once a request; a generation is opened by its real path,
read-only, without a lock file; one environment and one transaction a request; an environment is opened once a process
(py-lmdb refuses a second time) and closed when it has no reader any more; after a fork everything is opened again.
"""

import contextlib
import hashlib
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import lmdb
import orjson

from ok_ml.delivery.codec import Kind, id_of
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import GenerationGone, Reader, Snapshot
from ok_ml.errors import IntegrityError

DATA_FILE: Final = "data.mdb"
MANIFEST_FILE: Final = "manifest.json"


def database_name(part: int, tag: bytes) -> bytes:
    """Name of the database of one attempt at one part."""
    return b"%05d.%s" % (part, tag.hex().encode())


class LmdbSnapshot(Snapshot):
    """One opened generation. Counted: it is closed when the last user lets go."""

    def __init__(self, folder: Path, *, verify: bool) -> None:
        super().__init__(GenerationManifest.from_json(orjson.loads((folder / MANIFEST_FILE).read_bytes())))
        data = folder / DATA_FILE
        _check_file(data, self.manifest, verify=verify)
        self.key = _identity(data)
        self.users = 0
        try:
            self._env = lmdb.open(
                str(folder),
                readonly=True,
                create=False,
                lock=False,
                max_dbs=self.manifest.parts + 1,
                readahead=False,
                max_spare_txns=8,
            )
        except lmdb.Error as error:
            raise GenerationGone from error
        self._databases = [
            self._env.open_db(database_name(c.part, c.tag), create=False) for c in self.manifest.controls
        ]

    def lookup(self, wanted: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """See `Snapshot`."""
        databases = self._databases
        with self._env.begin() as txn:
            return [txn.get(key, db=databases[part]) for part, key in wanted]

    def examples(self, limit: int) -> list[int | str]:
        """See `Snapshot`: the first ids of every part."""
        each = -(-limit // len(self._databases))
        ids: list[bytes] = []
        with self._env.begin() as txn:
            for database in self._databases:
                keys = txn.cursor(db=database).iternext(values=False)
                ids += [key[1:] for key in itertools.islice(keys, each) if key[0] in (Kind.PREDICTION, Kind.SCORES)]
        return [id_of(key) for key in ids[:limit]]

    def close(self) -> None:
        """Unmap the file; no transaction may be open."""
        self._env.close()


class _Registry:
    """Opened generations of this process, by the identity of their file.

    Attributes
    ----------
    epoch
        Counts forks: what was opened in another epoch is gone.
    """

    def __init__(self) -> None:
        self.lock, self._opening = threading.RLock(), threading.Lock()
        self.epoch = 0
        self._opened: dict[tuple[int, int], LmdbSnapshot] = {}

    def acquire(self, folder: Path, *, verify: bool) -> LmdbSnapshot:
        """Open a generation, or share it. Verifying takes long: meanwhile only those who want a new one wait."""
        with self._opening:
            with self.lock:
                opened = self._opened.get(_identity(folder / DATA_FILE))
                if opened is not None:
                    opened.users += 1
                    return opened
            snapshot = LmdbSnapshot(folder, verify=verify)
            with self.lock:
                self._opened[snapshot.key] = snapshot
                snapshot.users = 1
                return snapshot

    def release(self, snapshot: LmdbSnapshot) -> None:
        with self.lock:
            snapshot.users -= 1
            if snapshot.users == 0 and self._opened.get(snapshot.key) is snapshot:
                del self._opened[snapshot.key]
                snapshot.close()

    def after_fork(self) -> None:
        """Close the child's copies, which py-lmdb would not open again; the lock may have been held by another thread."""
        self.lock, self._opening = threading.RLock(), threading.Lock()
        self.epoch += 1
        inherited, self._opened = list(self._opened.values()), {}
        for snapshot in inherited:
            snapshot.close()


_REGISTRY: Final = _Registry()
os.register_at_fork(after_in_child=_REGISTRY.after_fork)


class LmdbReader(Reader):
    """Reads the generation that CURRENT names.

    Parameters
    ----------
    folder
        Folder of the experiment.
    verify
        Check the SHA-256 of a generation when it is opened; its size is checked always.
    """

    def __init__(self, folder: Path, experiment: str, *, verify: bool) -> None:
        super().__init__(experiment)
        self._folder, self._verify = folder, verify
        self._pointer = str(folder / "CURRENT")
        self._epoch = _REGISTRY.epoch
        self._name = ""
        self._held: LmdbSnapshot | None = None

    def close(self) -> None:
        """See `Reader`."""
        with _REGISTRY.lock:
            self._let_go()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[LmdbSnapshot | None]:
        try:
            name = os.readlink(self._pointer)  # noqa: PTH115 (a request has microseconds)
        except FileNotFoundError:
            yield None
            return
        snapshot = self._hold(name)
        try:
            yield snapshot
        finally:
            _REGISTRY.release(snapshot)

    def _hold(self, name: str) -> LmdbSnapshot:
        """The opened generation, counted for one request."""
        with _REGISTRY.lock:
            held = self._held
            if held is not None and name == self._name and self._epoch == _REGISTRY.epoch:
                held.users += 1
                return held
        try:
            opened = _REGISTRY.acquire(self._folder / name, verify=self._verify)
        except FileNotFoundError as error:
            raise GenerationGone from error
        with _REGISTRY.lock:
            self._let_go()
            self._held, self._name, self._epoch = opened, name, _REGISTRY.epoch
            opened.users += 1
            return opened

    def _let_go(self) -> None:
        if self._held is not None and self._epoch == _REGISTRY.epoch:
            _REGISTRY.release(self._held)
        self._held, self._name = None, ""


def _identity(data: Path) -> tuple[int, int]:
    stat = data.stat()
    return stat.st_dev, stat.st_ino


def _check_file(data: Path, manifest: GenerationManifest, *, verify: bool) -> None:
    """A truncated file would kill the process at the first read beyond its end, so size and hash come first."""
    expected: dict[str, Any] = manifest.files
    size = data.stat().st_size
    problem = f"{size} bytes, expected {expected['bytes']}" if size != expected["bytes"] else ""
    if not problem and verify:
        with data.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        problem = f"SHA-256 {digest[:16]}, expected {expected['sha256'][:16]}" if digest != expected["sha256"] else ""
    if problem:
        raise IntegrityError(
            f"generation {manifest.name} of {manifest.experiment}: {data} has {problem}",
            why="it was changed after it was sealed",
            remedy="roll back to another generation, then publish again",
        )
