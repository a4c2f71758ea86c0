"""The doctor's checks of the machine: programs, packages, disk, memory, clock."""

import os
import re
import resource
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from ok_ml.cli.examination.examined_machine import Finding, Machine, normalised
from ok_ml.machine.current_user import has_entry, name_of_user
from ok_ml.machine.java import LEAST_JAVA, java_version
from ok_ml.release.gate.lineage import git_trouble

LEAST_PYTHON: Final = (3, 11)
GIB: Final = 1024**3
_DISK_GIB: Final = (2, 5)  # fail below, warn below
_MEMORY_GIB: Final = (1.5, 3.0)
_LEAST_FILES: Final = 1024
_SKEW_SECONDS: Final = 300
_ANSWER_SECONDS: Final = 2.0
_CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")


def python(machine: Machine) -> Iterator[Finding]:
    """The interpreter."""
    version = ".".join(map(str, machine.python))
    if machine.python[:2] < LEAST_PYTHON:
        yield Finding(
            "python",
            "fail",
            f"Python {version}, expected 3.11 or newer",
            "apt-get install python3.11-venv && rm -rf .venv && make run",
        )
    else:
        yield Finding("python", "ok", f"Python {version}")


def packages(machine: Machine) -> Iterator[Finding]:
    """Installed packages against requirements.lock."""
    lock = machine.root / "requirements.lock"
    if not lock.is_file():
        yield Finding("packages", "warn", "no requirements.lock to compare with", "git checkout requirements.lock")
        return
    wanted, installed = pinned(lock.read_text(encoding="utf-8")), machine.versions()
    missing = sorted(name for name in wanted if name not in installed)
    other = sorted(
        f"{name} {installed[name]} (locked {version})"
        for name, version in wanted.items()
        if installed.get(name, version) != version
    )
    if missing:
        yield Finding(
            "packages", "fail", f"{len(missing)} of {len(wanted)} are not installed: {_some(missing)}", "make setup"
        )
    if other:
        yield Finding(
            "packages", "warn", f"{len(other)} differ from the lock, so results may: {_some(other)}", "make setup"
        )
    if not missing and not other:
        yield Finding("packages", "ok", f"all {len(wanted)} as in requirements.lock")


def pinned(lock: str) -> dict[str, str]:
    """Name -> version of every package that a lock file pins, those for other platforms aside."""
    from packaging.markers import Marker

    versions = {}
    for line in lock.splitlines():
        match = re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]+))?", line)
        if match and (match[3] is None or Marker(match[3].strip()).evaluate()):
            versions[normalised(match[1])] = match[2]
    return versions


def java(machine: Machine) -> Iterator[Finding]:
    """A Java for Spark and Kafka."""
    home = machine.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else machine.which("java")
    install = "apt-get install openjdk-17-jre-headless" + (" && unset JAVA_HOME" if home else "")
    if program is None or not Path(program).is_file():
        where = f"JAVA_HOME is {home}, which has no bin/java" if home else "no java on the path"
        yield Finding("java", "fail", f"{where}: Spark and Kafka run on it", install)
        return
    version = java_version(_first_words([program, "-version"]))
    if version is None:
        yield Finding("java", "fail", f"{program} does not say its version", install)
    elif version < LEAST_JAVA:
        yield Finding("java", "fail", f"{program} is Java {version}, expected {LEAST_JAVA} or newer", install)
    else:
        yield Finding("java", "ok", f"Java {version} ({program})")


def git(machine: Machine) -> Iterator[Finding]:
    """git, and a repository whose commit can be recorded."""
    program = machine.which("git")
    if program is None:
        yield Finding(
            "git", "fail", "no git on the path: the commit is a part of every model's record", "apt-get install git"
        )
        return
    trouble = git_trouble(machine.root, program)
    if trouble is not None:
        yield Finding("git", "warn", f"{trouble.problem}: a model's record cannot name its code", trouble.remedy)
    else:
        commit = _first_words([program, "-C", str(machine.root), "rev-parse", "--short", "HEAD"]).strip()
        yield Finding("git", "ok", f"commit {commit}")


def user(_machine: Machine) -> Iterator[Finding]:
    """Who this is: a container's user may have no entry in the list of users, which is worked around."""
    told = "" if has_entry() else ": no entry in the list of users, so Spark and Hadoop are told a name and a home"
    yield Finding("user", "ok", f"{name_of_user()} ({os.getuid()}){told}")


def libgomp(machine: Machine) -> Iterator[Finding]:
    """The OpenMP runtime, which LightGBM's wheel does not bring."""
    if machine.library("libgomp.so.1"):
        yield Finding("libgomp", "ok", "libgomp.so.1 loads")
    else:
        yield Finding(
            "libgomp", "fail", "libgomp.so.1 does not load: LightGBM cannot train", "apt-get install libgomp1"
        )


def disk(machine: Machine) -> Iterator[Finding]:
    """Free space where state and downloads go."""
    least, wanted = _DISK_GIB
    for name, folder, need, variable in (
        ("disk", machine.state_dir, wanted, "OK_ML_STATE"),
        ("disk (cache)", machine.cache_dir, 0.5, "OK_ML_CACHE"),
    ):
        free = machine.disk(folder) / GIB
        if free < min(least, need):
            remedy = f"free space (df -h {shlex.quote(str(folder))}), or set {variable} to another disk"
            yield Finding(
                name, "fail", f"{free:.1f} GiB free at {folder}, expected {min(least, need):g} at least", remedy
            )
        elif free < need:
            yield Finding(
                name,
                "warn",
                f"{free:.1f} GiB free at {folder}, {need:g} are comfortable",
                f"free space, or set {variable} to another disk",
            )
        else:
            yield Finding(name, "ok", f"{free:.0f} GiB free at {folder}")


def memory(machine: Machine) -> Iterator[Finding]:
    """Memory for the Spark driver and the trainer."""
    least, wanted = _MEMORY_GIB
    available = machine.memory() / GIB
    if available < least:
        text = f"{available:.1f} GiB available, expected {least:g} at least: runs would be killed"
        yield Finding("memory", "fail", text, "close what needs most: ps axo rss,pid,args --sort=-rss | head")
    elif available < wanted:
        remedy = "run with `--size tiny`, or lower spark.driver_memory in configs/environments/local.yml"
        yield Finding("memory", "warn", f"{available:.1f} GiB available, {wanted:g} are comfortable", remedy)
    else:
        yield Finding("memory", "ok", f"{available:.1f} GiB available")


def files(_machine: Machine) -> Iterator[Finding]:
    """The limit of open files."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST_FILES:
        yield Finding(
            "open files",
            "warn",
            f"the limit is {soft}, {_LEAST_FILES} are comfortable for Kafka",
            f"ulimit -n {_LEAST_FILES}",
        )


def clock(machine: Machine) -> Iterator[Finding]:
    """The clock against what was written before: the last commit, the lock file."""
    now = machine.now()
    program = machine.which("git")
    commit = _first_words([program, "-C", str(machine.root), "log", "-1", "--format=%ct"]).strip() if program else ""
    ahead = int(commit) - now if commit.isdigit() else 0.0
    if not commit.isdigit():
        yield Finding("clock", "ok", "no commit to compare it with")
    elif ahead > _SKEW_SECONDS:
        text = f"the clock is {ahead / 3600:.1f} h behind the last commit: ages, generations and certificates would be wrong"
        yield Finding("clock", "fail", text, "timedatectl set-ntp true")
    else:
        yield Finding("clock", "ok", "not behind the last commit")


def chromium(machine: Machine) -> Iterator[Finding]:
    """A browser, for screenshots only."""
    browser = next((path for name in _CHROMIUM if (path := machine.which(name))), None)
    if browser is None:
        yield Finding(
            "chromium", "ok", "absent: only browser tests and `make screenshots` want it", "apt-get install chromium"
        )
    else:
        yield Finding("chromium", "ok", browser)


def _first_words(command: list[str]) -> str:
    """What a program prints, or nothing if it cannot be run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout + done.stderr


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


MACHINE_CHECKS: Final[dict[str, Callable[[Machine], Iterable[Finding]]]] = {
    "python": python,
    "packages": packages,
    "java": java,
    "git": git,
    "user": user,
    "libgomp": libgomp,
    "disk": disk,
    "memory": memory,
    "open files": files,
    "clock": clock,
    "chromium": chromium,
}
