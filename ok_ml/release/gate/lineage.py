"""What a model was made from: enough to make it again."""

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from ok_ml.errors import EnvironmentFault

LOCK_FILE: Final = "requirements.lock"
NO_GIT: Final = "none"  # instead of a commit


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
    code_hash
        Of the code that ran and of the project's configuration files, where git cannot say a commit; `git_commit` is "none"
        then. Empty otherwise.
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
    code_hash: str = ""

    def missing(self) -> list[str]:
        """Names of the fields that are not known."""
        values = asdict(self)
        del values["machine"], values["extensions"], values["code_hash"]
        if self.code_hash:
            del values["git_commit"], values["git_dirty"]
        gaps = [name for name, value in values.items() if value is None or value in ("", {})]
        unversioned = bool(self.dataset_versions) and not all(self.dataset_versions.values())
        return [*gaps, *(["dataset_versions"] if unversioned else [])]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON can say them; without those that came later and are empty, as older records said them."""
        said = asdict(self)
        for name in ("extensions", "code_hash"):
            if not said[name]:
                del said[name]
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
    without_git: bool = False,
) -> Lineage:
    """The lineage of a model that is being trained now, by the code below `root`.

    Parameters
    ----------
    extensions, files
        Hashes of the project's own code, and its files: one that git does not keep makes the tree dirty, even if it is
        ignored.
    without_git
        Where git cannot say a commit or there is no lock file, take hashes of the code and of what is installed instead.
    """
    commit, dirty = git_state(root)
    code, lock = "", lock_hash(root)
    if without_git and (not commit or dirty is None):
        commit, dirty, code = NO_GIT, None, _code_hash(Path(root))
    if without_git and not lock:
        lock = _installed_hash()
    if dirty is False and not all(is_tracked(root, path) for path in files):
        dirty = True
    return Lineage(
        git_commit=commit,
        git_dirty=dirty,
        config_hash=config_hash,
        dataset_versions=dict(dataset_versions),
        dagster_run_id=dagster_run_id,
        seed=seed,
        threads=threads,
        lock_hash=lock,
        machine=machine(),
        extensions=dict(extensions or {}),
        code_hash=code,
    )


def require_provenance(root: Path, *, strict: bool) -> str:
    """Ask before any work for what a promotion will ask for: a commit, a clean tree, the lock file.

    Parameters
    ----------
    strict
        Everywhere but in environment `local`, where a model is promoted without them and its record says so.

    Returns
    -------
    What the record will say, with the remedy; empty where nothing is missing.

    Raises
    ------
    EnvironmentFault
        Something is missing, and `strict`.
    """
    trouble = git_trouble(root)
    if trouble is None and strict and git_state(root)[1]:
        trouble = GitTrouble(
            f"{root} has uncommitted changes", f"git -C {shlex.quote(str(root))} status, and commit them"
        )
    if trouble is None and not (root / LOCK_FILE).is_file():
        freeze = f"pip freeze > {shlex.quote(str(root / LOCK_FILE))}"
        trouble = GitTrouble(f"{root} has no {LOCK_FILE}", f"copy the one of ok_ml there, or: {freeze}")
    if trouble is None:
        return ""
    if strict:
        why = "no model is promoted without saying what code made it, and everything before would be computed in vain"
        raise EnvironmentFault(trouble.problem, why=why, remedy=trouble.remedy)
    return f"{trouble.problem}: the model's record will say so; to correct it: {trouble.remedy}"


class GitTrouble(NamedTuple):
    """Why git cannot name a commit, and the remedy."""

    problem: str
    remedy: str


def git_trouble(root: Path, git: str | None = "git") -> GitTrouble | None:
    """Why git cannot say the commit of a folder; None if it can.

    Parameters
    ----------
    git
        The program; None if there is none.
    """
    command = [git or "git", "-C", str(root), "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=_git_environment())
    except (OSError, subprocess.SubprocessError) as error:
        return GitTrouble(f"git does not run ({error.__class__.__name__})", "apt-get install git")
    return None if done.returncode == 0 else _git_says(root, done.stderr)


def _git_says(root: Path, text: str) -> GitTrouble:
    folder = shlex.quote(str(root))
    if "dubious ownership" in text:  # git's own advice, which names the folder it means
        advice = re.search(r"git config --global --add safe\.directory \S.*", text)
        remedy = advice[0].strip() if advice else f"git config --global --add safe.directory {folder}"
        return GitTrouble(f"git refuses {root}: it belongs to another user (dubious ownership)", remedy)
    ignore = "" if (root / ".gitignore").exists() else f"printf '.ok_ml/\\n.venv/\\n' > {folder}/.gitignore && "
    commit = f"git -C {folder} add -A && git -C {folder} commit -m 'First commit'"
    if "not a git repository" in text:
        return GitTrouble(f"{root} is no git repository", f"{ignore}git init {folder} && {commit}")
    if "Needed a single revision" in text or "unknown revision" in text:
        return GitTrouble(f"the git repository of {root} has no commit yet", f"{ignore}{commit}")
    told = next(iter(text.strip().splitlines()), "nothing")
    return GitTrouble(f"git says of {root}: {told}", f"correct what it reports: git -C {folder} status")


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
        "processor": platform.machine(),
        "cpu_count": os.cpu_count(),
        "cpu_features": list(built["SIMD Extensions"]["found"]),
        "libraries": libraries,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def hash_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of a mapping, key order aside: 64 hex digits."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def _git(root: str | Path, *arguments: str) -> str | None:
    """What git prints, or None if there is no git or no tree."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env=_git_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _git_environment() -> dict[str, str]:
    """In English, since what git says is read; and nothing is locked for looking."""
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def _code_hash(root: Path) -> str:
    """SHA-256 over the code of ok_ml and the project's configuration files, names included."""
    code = Path(__file__).resolve().parents[2]
    paths = [*sorted(code.rglob("*.py")), *sorted((root / "configs").rglob("*.y*ml"))]
    return hash_of({_place(path, code, root): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths})


def _place(path: Path, code: Path, root: Path) -> str:
    """Where a file stands, whatever the folder that everything is in."""
    return f"ok_ml/{path.relative_to(code)}" if path.is_relative_to(code) else str(path.relative_to(root))


def _installed_hash() -> str:
    """What stands for the lock file: SHA-256 over every installed distribution and its version."""
    from importlib.metadata import distributions

    return f"installed:{hash_of({one.name: one.version for one in distributions()})}"
