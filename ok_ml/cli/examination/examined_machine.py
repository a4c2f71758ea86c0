"""What the doctor looks at, all of it replaceable, so that a fault can be planted in a test."""

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from ok_ml.config.models import Project

_CGROUP_MAX: Final = Path("/sys/fs/cgroup/memory.max")
_CGROUP_CURRENT: Final = Path("/sys/fs/cgroup/memory.current")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    remedy
        The command, or the edit, that fixes it; empty where nothing is to be fixed.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    remedy: str = ""


def free_disk_bytes(path: Path) -> int:
    """Free bytes on the disk of the nearest existing folder."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def available_memory_bytes() -> int:
    """Bytes that may still be used, the control group's limit considered."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        limit, used = _CGROUP_MAX.read_text().strip(), int(_CGROUP_CURRENT.read_text())
    except (OSError, ValueError):
        return available
    return min(available, int(limit) - used) if limit.isdigit() else available


def installed_versions() -> dict[str, str]:
    """Normalised distribution name -> version of everything installed."""
    from importlib.metadata import distributions

    versions: dict[str, str] = {}
    for distribution in distributions():
        versions.setdefault(normalised(distribution.name), distribution.version)
    return versions


def normalised(name: str) -> str:
    """A package name as PEP 503 compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


def loads_library(name: str) -> bool:
    """Whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Machine:
    """The machine and the project, as the checks see them.

    Parameters
    ----------
    root
        The project's folder.
    project
        The configuration, or None if it cannot be read (which `problems` explains).
    """

    root: Path
    project: "Project | None" = None
    problems: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    python: tuple[int, int, int] = sys.version_info[:3]
    disk: Callable[[Path], int] = free_disk_bytes
    memory: Callable[[], int] = available_memory_bytes
    versions: Callable[[], Mapping[str, str]] = installed_versions
    library: Callable[[str], bool] = loads_library
    now: Callable[[], float] = time.time

    @cached_property
    def state_dir(self) -> Path:
        """The folder of local state, whether it exists or not."""
        return self.project.state_dir if self.project is not None else self.root / ".ok_ml"

    @cached_property
    def cache_dir(self) -> Path:
        """Where downloads are stored: OK_ML_CACHE, else ok-ml below the user's cache."""
        if value := self.environ.get("OK_ML_CACHE"):
            return Path(value)
        if value := self.environ.get("XDG_CACHE_HOME"):
            return Path(value) / "ok-ml"
        home = self.environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - it leaves ~ where there is no home
        return Path(home) / ".cache" / "ok-ml"

    def which(self, program: str) -> str | None:
        """A program on the path."""
        return shutil.which(program, path=self.environ.get("PATH", ""))


def this_machine(root: Path, environment: str | None, size: str | None) -> Machine:
    """The machine with the project's configuration, as far as it can be read."""
    from ok_ml.config.loader import find_problems, load_project
    from ok_ml.errors import ConfigError

    problems = tuple(find_problems(root))
    try:
        return Machine(root, load_project(root, size, environment), problems)
    except ConfigError as error:
        return Machine(root, None, problems or error.problems)
