"""What a model was made from: enough to make it again."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LOCK_FILE = "requirements.lock"


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from. An empty field means that it is not known, and refuses the promotion.

    Attributes
    ----------
    git_commit
        Full hash of the commit that ran.
    git_dirty
        Whether tracked files differed from that commit; the commit alone does not make the model again then.
    config_hash
        Of the experiment and dataset as loaded.
    dataset_versions
        "dataset/table/partition" -> data version, of everything that was read.
    dagster_run_id
        The run that trained it: nothing trained by hand has one.
    seed, threads
        Of training.
    lock_hash
        SHA-256 of the lock file of dependencies.
    extensions
        Path in the YAML -> SHA-256 of the project's file behind it; empty where only shipped code ran.
    machine
        CPU, BLAS and versions: on another kind of machine results may differ. Recorded, not judged.
    """

    git_commit: str = ""
    git_dirty: bool | None = None
    config_hash: str = ""
    dataset_versions: Mapping[str, str] = field(default_factory=dict)
    dagster_run_id: str = ""
    seed: int | None = None
    threads: int | None = None
    lock_hash: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Names of the fields that are not known."""
        values = asdict(self)
        del values["machine"], values["extensions"]
        gaps = [name for name, value in values.items() if value is None or value in ("", {})]
        unversioned = bool(self.dataset_versions) and not all(self.dataset_versions.values())
        return [*gaps, *(["dataset_versions"] if unversioned else [])]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON can say them; without extensions as records said them before there were any."""
        said = asdict(self)
        if not self.extensions:
            del said["extensions"]
        return said


def collect_lineage(
    root: str | Path,
    *,
    config_hash: str,
    dataset_versions: Mapping[str, str],
    dagster_run_id: str,
    seed: int,
    threads: int,
    extensions: Mapping[str, str] | None = None,
    files: Sequence[Path] = (),
) -> Lineage:
    """The lineage of a model that is being trained now, by the code below `root`.

    Parameters
    ----------
    extensions, files
        Hashes of the project's own code, and its files: one that git does not keep makes the tree dirty, even if it is
        ignored.
    """
    commit, dirty = git_state(root)
    if dirty is False and not all(is_tracked(root, path) for path in files):
        dirty = True
    return Lineage(
        git_commit=commit, git_dirty=dirty, config_hash=config_hash, dataset_versions=dict(dataset_versions),
        dagster_run_id=dagster_run_id, seed=seed, threads=threads, lock_hash=lock_hash(root), machine=machine(),
        extensions=dict(extensions or {}),
    )  # fmt: skip


def git_state(root: str | Path) -> tuple[str, bool | None]:
    """Commit of HEAD and whether tracked or new files differ from it; ("", None) outside a git tree."""
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=normal") if commit else None
    return (commit or "", None) if changes is None else (commit or "", bool(changes))


def is_tracked(root: str | Path, path: Path) -> bool:
    """Whether git keeps a file of the tree."""
    return _git(root, "ls-files", "--error-unmatch", str(path)) is not None


def lock_hash(root: str | Path) -> str:
    """SHA-256 of the lock file, or empty without one."""
    path = Path(root) / LOCK_FILE
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def machine() -> dict[str, Any]:
    """What results may depend on besides code, data and seed: CPU features, BLAS kernel and threads, versions."""
    import numpy as np
    from threadpoolctl import threadpool_info

    built = np.show_config(mode="dicts")
    libraries = [
        {
            name: str(library.get(name))
            for name in ("user_api", "internal_api", "version", "architecture", "num_threads")
        }
        for library in threadpool_info()
    ]
    return {
        "processor": platform.machine(), "cpu_count": os.cpu_count(), "cpu_features": list(built["SIMD Extensions"]["found"]),
        "libraries": libraries, "python": platform.python_version(), "numpy": np.__version__,
    }  # fmt: skip


def hash_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of a mapping, key order aside: 64 hex digits."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def _git(root: str | Path, *arguments: str) -> str | None:
    """What git prints, or None if there is no git or no tree."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
