"""The lake: versioned, committed partitions of Parquet tables.

A partition is written into a fresh version folder, then committed by its manifest in one rename.
Readers go through the manifest; nothing lists a folder to find out what is current.

Layout, below the root::

    <scope>/<table>/_committed/<partition>.json             the manifest: which version is current
    <scope>/<table>/<partition>/<version>/part-00000.parquet
    _scratch/                                               what running processes need for themselves, and their locks

`scope` is a dataset or an experiment. A table without partitions uses the partition "all".
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ok_ml.atomic_write import fsync, replace_file
from ok_ml.errors import NotCommitted
from ok_ml.owned_folders import owned, remove_left

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = "all"
_SCRATCH = "_scratch"
_COMMITTED_MARK = "_committed"  # in every version folder that a manifest has named
_ORPHAN_NS = 24 * 3600 * 10**9  # a staged folder of this age was left by a process that was killed


@dataclass(frozen=True)
class Manifest:
    """What was committed for one partition.

    Attributes
    ----------
    inputs
        name -> version of everything the partition was made from, code version and config hash included.
    version
        Folder of the data below the partition.
    data_version
        Content hash of the rows: equal rows, equal data version.
    files
        Paths below the version folder, sorted.
    details
        Whatever else readers need: counts by reason, bounds of time.
    """

    scope: str
    table: str
    partition: str
    version: str
    data_version: str
    rows: int
    files: tuple[str, ...]
    inputs: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    committed_at: str = ""


class Lake:
    """Tables below one root folder.

    Parameters
    ----------
    root
        A local or mounted folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    # -- reading -------------------------------------------------------------------------------------------

    def find(self, scope: str, table: str, partition: str = WHOLE) -> Manifest | None:
        """The manifest of a committed partition, or None."""
        try:  # asked some thousand times a run, hence no Path
            with open(f"{self.root}/{scope}/{table}/_committed/{partition}.json", "rb") as handle:  # noqa: PTH123
                raw = json.loads(handle.read())
        except FileNotFoundError:
            return None
        return Manifest(**{**raw, "files": tuple(raw["files"])})

    def manifest(self, scope: str, table: str, partition: str = WHOLE) -> Manifest:
        """The manifest of a committed partition.

        Raises
        ------
        NotCommitted
            Nothing was committed there.
        """
        committed = self.find(scope, table, partition)
        if committed is None:
            known = self.partitions(scope, table)
            raise NotCommitted(
                f"{scope}/{table} has no committed partition {partition!r}"
                f" (committed: {f'{known[0]} .. {known[-1]}, {len(known)} in all' if known else 'none'})",
                why="whatever reads it would silently work on nothing",
                remedy=f"materialise {scope}/{table} for {partition} first, e.g. with `ok-ml run` or in the Dagster UI",
            )
        return committed

    def partitions(self, scope: str, table: str) -> list[str]:
        """Committed partitions, ascending."""
        try:
            with os.scandir(f"{self.root}/{scope}/{table}/_committed") as entries:
                return sorted(entry.name.removesuffix(".json") for entry in entries if entry.name.endswith(".json"))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def latest(self, scope: str, table: str) -> str:
        """The newest committed partition. Raises NotCommitted if there is none."""
        known = self.partitions(scope, table)
        if not known:
            self.manifest(scope, table, "(any)")
        return known[-1]

    def folder(self, manifest: Manifest) -> Path:
        """The folder that holds the data of a manifest."""
        return self.root / manifest.scope / manifest.table / manifest.partition / manifest.version

    def files(self, scope: str, table: str, partitions: Iterable[str] = (WHOLE,)) -> list[str]:
        """Absolute paths of the data files of committed partitions, in order."""
        manifests = [self.manifest(scope, table, partition) for partition in partitions]
        return [str(self.folder(m) / name) for m in manifests for name in m.files]

    def read(
        self,
        scope: str,
        table: str,
        partitions: Iterable[str] = (WHOLE,),
        *,
        columns: list[str] | None = None,
        part: int | None = None,
    ) -> "pa.Table":
        """Rows of committed partitions as one Arrow table; `part` keeps only the files of one part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = self.files(scope, table, partitions)
        if part is not None:
            names = [name for name in names if Path(name).name.startswith(part_prefix(part))]
        tables = [pq.read_table(name, columns=columns, partitioning=None) for name in names]
        if not tables:
            schema = pq.read_schema(self.files(scope, table, partitions)[0])
            empty = schema.empty_table()
            return empty.select(columns) if columns else empty
        return pa.concat_tables(tables)

    # -- writing -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def staged(self, scope: str, table: str, partition: str = WHOLE) -> Iterator[Path]:
        """A fresh, empty version folder; removed again if the block raises. Commit it with `commit`."""
        folder = self.root / scope / table / partition / f"v-{uuid.uuid4().hex[:12]}"
        with owned(self.root, folder, self.root / _SCRATCH):
            folder.mkdir(parents=True)
            try:
                yield folder
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    @contextlib.contextmanager
    def scratch(self, purpose: str) -> Iterator[Path]:
        """A fresh, empty folder on the same file system, for what one block needs; removed at its end."""
        folder = self.root / _SCRATCH / f"{purpose}-{uuid.uuid4().hex[:12]}"
        with owned(self.root, folder, self.root / _SCRATCH):
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> list[Path]:
        """Remove what processes that were killed have left: scratch and staged folders. Returns what was removed."""
        return remove_left(self.root, self.root / _SCRATCH, self._is_current_version)

    def _is_current_version(self, folder: Path) -> bool:
        place = folder.relative_to(self.root).parts
        manifest = self.find(*place[:3]) if len(place) == 4 else None
        return manifest is not None and manifest.version == folder.name

    def commit(
        self,
        folder: Path,
        *,
        rows: int,
        data_version: str,
        inputs: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
        keep: int = 2,
    ) -> Manifest:
        """Make a staged folder the current version of its partition, in one rename.

        The newest `keep` versions stay on disk, for readers that resolved an older one.
        """
        scope, table, partition = folder.parts[-4:-1]
        names, before = _data_files(folder), self.find(scope, table, partition)
        manifest = Manifest(
            scope=scope,
            table=table,
            partition=partition,
            version=folder.name,
            data_version=data_version,
            rows=rows,
            files=tuple(names),
            inputs=inputs or {},
            details=details or {},
            committed_at=datetime.now(UTC).isoformat(),
        )
        for path in [folder / name for name in names]:
            if path.stat().st_nlink == 1:  # a file shared with another partition was synced when that was committed
                fsync(path)
        for inner in {folder, *((folder / name).parent for name in names)}:
            fsync(inner)
        (folder / _COMMITTED_MARK).touch()
        path = self.root / scope / table / "_committed" / f"{partition}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(manifest), indent=1, sort_keys=True, default=str)
        replace_file(path, text.encode(), durable=True)
        self._collect(folder, keep, before.version if before else None)
        return manifest

    def write(
        self,
        scope: str,
        table: str,
        partition: str,
        rows: "pa.Table",
        *,
        sort_by: list[str],
        inputs: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
        by_part: bool = False,
    ) -> Manifest:
        """Stage and commit one Arrow table, sorted by `sort_by`; `by_part` writes one file a value of `part`."""
        import pyarrow.parquet as pq

        from ok_ml.columns import PART
        from ok_ml.hashing import content_hash

        ordered = rows.sort_by([(name, "ascending") for name in sort_by])
        with self.staged(scope, table, partition) as folder:
            if by_part:
                import pyarrow.compute as pc

                present = sorted(pc.unique(ordered[PART]).to_pylist()) or [0]
                for part in present:
                    pq.write_table(
                        ordered.filter(pc.equal(ordered[PART], part)), folder / f"{part_prefix(part)}.parquet"
                    )
            else:
                pq.write_table(ordered, folder / "all.parquet")
            return self.commit(
                folder,
                rows=ordered.num_rows,
                data_version=content_hash(ordered, sort_by),
                inputs=inputs,
                details=details,
            )

    def is_current(self, scope: str, table: str, partition: str, inputs: dict[str, str]) -> bool:
        """Whether a partition is committed and was made from exactly `inputs`."""
        manifest = self.find(scope, table, partition)
        return manifest is not None and manifest.inputs == inputs

    def _collect(self, current: Path, keep: int, before: str | None) -> None:
        """Remove old versions: neither the newest, nor the one that was current until now, nor what is being staged."""
        moments = {}
        for path in current.parent.iterdir():
            marker = path / _COMMITTED_MARK
            with contextlib.suppress(FileNotFoundError):
                moments[path] = marker.stat().st_mtime_ns if marker.exists() else -path.stat().st_mtime_ns
        versions = sorted((path for path, moment in moments.items() if moment > 0), key=lambda path: -moments[path])
        kept = {current, current.parent / before if before else current, *versions[: max(keep, 1)]}
        orphaned = time.time_ns() - _ORPHAN_NS
        left = [path for path, moment in moments.items() if moment < 0 and -moment < orphaned]
        for old in [*(path for path in versions if path not in kept), *left]:
            shutil.rmtree(old, ignore_errors=True)


def part_prefix(part: int) -> str:
    """Start of the name of every file that holds one part."""
    return f"part-{part:05d}"


def fingerprint(parts: dict[str, object]) -> str:
    """A short hash of anything JSON can say, key order aside: 16 hex digits of SHA-256."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def tree_fingerprint(folder: Path) -> str:
    """A short hash of every file below a folder, names included; for artefacts whose bytes are deterministic."""
    return tree_sha256(folder)[:16]


def tree_sha256(folder: Path, *, without: tuple[str, ...] = ()) -> str:
    """SHA-256, hex, over the names and SHA-256 of every file below a folder, except those of some names."""
    total = hashlib.sha256()
    for name in _data_files(folder):
        if name not in without:
            with (folder / name).open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


def _data_files(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in names if not any(name.startswith(("_", ".")) for name in path.parts))
