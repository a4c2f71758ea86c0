"""The storage on local files: one LMDB environment a generation, one named database a part and attempt.

Layout, below the storage folder::

    <experiment>/CURRENT -> generations/<name>     a symbolic link that is read, never opened through: one atomic look
    <experiment>/generations/<name>/data.mdb       sealed: mode 0444, size and SHA-256 in manifest.json next to it
    <experiment>/staging/<generation>/data.mdb     being filled
    <experiment>/*.json                            documents: history, positions, status
"""

import contextlib
import hashlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import lmdb
import orjson
from filelock import FileLock

from ok_ml.atomic_write import fsync, replace_file
from ok_ml.config.models import StorageConfig
from ok_ml.delivery.backends.lmdb_reader import DATA_FILE, MANIFEST_FILE, LmdbReader, database_name
from ok_ml.delivery.generation_ids import generation_name, parse_generation
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import Reader
from ok_ml.delivery.storage import Document, PredictionStore, StagedGeneration
from ok_ml.errors import ConfigError, EnvironmentFault, IntegrityError

_MAP_BYTES: Final = 1 << 40  # address space, not disk
_MAX_DATABASES: Final = 65_536
_STATES: Final = b"states"


class LmdbStaged(StagedGeneration):
    """A generation being filled, in an environment of its own."""

    def __init__(self, folder: Path, generation: int, sealed_folder: Path) -> None:
        self.folder, self.generation, self.sealed_folder = folder, generation, sealed_folder
        folder.mkdir(parents=True, exist_ok=True)
        with _space(folder):
            self._env = lmdb.open(str(folder), map_size=_MAP_BYTES, max_dbs=_MAX_DATABASES, readahead=False)
            self._states = self._env.open_db(_STATES)
        self._databases: dict[tuple[int, bytes], Any] = {}
        self._txn: Any = None

    def states(self) -> dict[int, Document]:
        """See `StagedGeneration`."""
        with self._env.begin(db=self._states) as txn:
            return {int(key): orjson.loads(value) for key, value in txn.cursor()}

    def write(self, part: int, tag: bytes, records: Sequence[tuple[bytes, bytes]], state: Document) -> None:
        """See `StagedGeneration`."""
        with _space(self.folder):
            txn = self._writing()
            if records:
                database = self._database(part, tag)
                consumed, added = txn.cursor(db=database).putmulti(records, append=True)
                if not consumed == added == len(records):
                    raise IntegrityError(
                        f"part {part}: keys are not ascending", why="a value would be lost without a word"
                    )
            txn.put(b"%d" % part, orjson.dumps(state), db=self._states)

    def drop(self, part: int, tag: bytes) -> None:
        """See `StagedGeneration`."""
        with _space(self.folder):
            self._writing().drop(self._database(part, tag))
        del self._databases[part, tag]

    def commit(self) -> None:
        """See `StagedGeneration`."""
        txn, self._txn = self._txn, None
        if txn is not None:
            with _space(self.folder):
                txn.commit()

    def scan(self, part: int, tag: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `StagedGeneration`."""
        database = self._database(part, tag)
        self.commit()
        with self._env.begin(db=database) as txn:
            yield from txn.cursor()

    def seal(self, manifest: GenerationManifest) -> None:
        """See `StagedGeneration`."""
        self.commit()
        with _space(self.folder):
            self._env.sync(True)
        self.close()
        (self.folder / "lock.mdb").unlink(missing_ok=True)
        data = self.folder / DATA_FILE
        with data.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        document = manifest.to_json() | {"files": {"bytes": data.stat().st_size, "sha256": digest}}
        data.chmod(0o444)
        replace_file(self.folder / MANIFEST_FILE, orjson.dumps(document), durable=True)
        self.sealed_folder.parent.mkdir(exist_ok=True)
        self.folder.rename(self.sealed_folder)
        fsync(self.sealed_folder.parent)
        fsync(self.folder.parent)

    def close(self) -> None:
        """See `StagedGeneration`."""
        if self._txn is not None:
            self._txn.abort()
            self._txn = None
        self._env.close()

    def _writing(self) -> Any:
        if self._txn is None:
            self._txn = self._env.begin(write=True)
        return self._txn

    def _database(self, part: int, tag: bytes) -> Any:
        database = self._databases.get((part, tag))
        if database is None:
            database = self._env.open_db(database_name(part, tag), txn=self._writing())
            self._databases[part, tag] = database
        return database


class LmdbStore(PredictionStore):
    """Generations below one local folder."""

    def __init__(self, config: StorageConfig, root: Path) -> None:
        if not config.path:
            raise ConfigError(
                "storage.path is not set", why="backend lmdb keeps its files there", remedy="set storage.path"
            )
        self.root = (root / config.path).resolve()

    def reader(self, experiment: str, *, verify: bool = True) -> Reader:
        """See `PredictionStore`."""
        return LmdbReader(self._folder(experiment), experiment, verify=verify)

    def experiments(self) -> list[str]:
        """See `PredictionStore`."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []

    def read_document(self, experiment: str, name: str) -> Document | None:
        """See `PredictionStore`."""
        with contextlib.suppress(FileNotFoundError):
            document: Document = orjson.loads((self._folder(experiment) / f"{name}.json").read_bytes())
            return document
        return None

    def write_document(self, experiment: str, name: str, document: Document, *, durable: bool = True) -> None:
        """See `PredictionStore`."""
        folder = self._folder(experiment)
        folder.mkdir(parents=True, exist_ok=True)
        with _space(folder):
            replace_file(folder / f"{name}.json", orjson.dumps(document, option=orjson.OPT_INDENT_2), durable=durable)

    def stage(self, experiment: str, generation: int) -> StagedGeneration:
        """See `PredictionStore`."""
        folder = self._folder(experiment)
        return LmdbStaged(folder / "staging" / str(generation), generation, self._sealed_folder(experiment, generation))

    def staged(self, experiment: str) -> list[int]:
        """See `PredictionStore`."""
        folder = self._folder(experiment) / "staging"
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []

    def drop_staged(self, experiment: str, generation: int) -> None:
        """See `PredictionStore`."""
        shutil.rmtree(self._folder(experiment) / "staging" / str(generation), ignore_errors=True)

    def sealed(self, experiment: str) -> list[GenerationManifest]:
        """See `PredictionStore`."""
        folder = self._folder(experiment) / "generations"
        manifests = []
        for path in [path for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []:
            with contextlib.suppress(FileNotFoundError):
                manifests.append(GenerationManifest.from_json(orjson.loads((path / MANIFEST_FILE).read_bytes())))
        return sorted(manifests, key=lambda manifest: manifest.generation)

    def current(self, experiment: str) -> int | None:
        """See `PredictionStore`."""
        with contextlib.suppress(FileNotFoundError):
            return parse_generation(Path((self._folder(experiment) / "CURRENT").readlink()).name)
        return None

    def close(self) -> None:
        """See `PredictionStore`."""

    @contextlib.contextmanager
    def _lock(self, experiment: str) -> Iterator[None]:
        folder = self._folder(experiment)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "LOCK"):
            yield

    def _point(self, experiment: str, generation: int) -> None:
        folder = self._folder(experiment)
        aside = folder / f".CURRENT.{uuid.uuid4().hex[:8]}"
        aside.symlink_to(Path("generations") / generation_name(generation))
        aside.replace(folder / "CURRENT")
        fsync(folder)

    def _remove(self, experiment: str, generation: int) -> None:
        folder = self._sealed_folder(experiment, generation)
        aside = folder.with_name(f".{folder.name}.removed")
        folder.rename(aside)
        for left in folder.parent.glob(".*.removed"):  # also what a crash left
            shutil.rmtree(left, ignore_errors=True)

    def _folder(self, experiment: str) -> Path:
        return self.root / experiment

    def _sealed_folder(self, experiment: str, generation: int) -> Path:
        return self._folder(experiment) / "generations" / generation_name(generation)


@contextlib.contextmanager
def _space(folder: Path) -> Iterator[None]:
    """Turn what LMDB and the file system say of a full disk into one clear error."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        free_mib = shutil.disk_usage(folder).free // (1 << 20) if folder.is_dir() else 0
        raise EnvironmentFault(
            f"the storage cannot write to {folder} ({error}; {free_mib} MiB are free there)",
            why="a generation that is not whole on disk is never served; the last good one still is",
            remedy="free some space or raise the limit, then publish again",
        ) from error
