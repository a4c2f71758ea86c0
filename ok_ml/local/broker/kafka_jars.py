"""Where the embedded broker's jars come from.

In this order: ``kafka.jars_dir`` of the configuration; ``libs`` of ``KAFKA_HOME``; the cache (``$OK_ML_CACHE``, else
``${XDG_CACHE_HOME:-~/.cache}/ok-ml``); else they are fetched once into the cache, by the Ivy inside pyspark, else by ``mvn``.
"""

import contextlib
import hashlib
import importlib.util
import logging
import os
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from filelock import FileLock

from ok_ml.errors import EnvironmentFault, IntegrityError
from ok_ml.machine.java import utf8_locale

logger = logging.getLogger(__name__)

KAFKA_VERSION: Final = "4.1.1"
_ARTIFACT: Final = "kafka_2.13"
_FETCH_SECONDS: Final = 600.0
_SAY_SECONDS: Final = 5.0
_LOGGING_JARS: Final = ("log4j-slf4j2-impl-", "slf4j-api-2", "log4j-api-", "log4j-core-")
_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>ok-ml</groupId><artifactId>kafka-jars</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
</dependency></dependencies></project>
"""


@dataclass(frozen=True)
class KafkaJars:
    """The jars of one broker.

    Attributes
    ----------
    paths
        In class path order.
    verified
        Whether every jar matched the committed list.
    """

    paths: tuple[Path, ...]
    version: str
    origin: str
    verified: bool

    def class_path(self, folder: Path) -> str:
        """As `java -cp` takes it when it runs in `folder`, a logging backend in front.

        Java splits it at colons and knows no escape: where a path has one, links in `folder` stand for the jars.
        """
        paths = [path.absolute() for path in (*logging_jars(), *self.paths)]
        if any(os.pathsep in str(path) for path in paths):
            links = folder / "jars"
            shutil.rmtree(links, ignore_errors=True)
            links.mkdir(parents=True)
            for path in paths:
                (links / path.name).symlink_to(path)
            paths = [Path(links.name) / path.name for path in paths]
        return os.pathsep.join(map(str, paths))


def find_jars(jars_dir: str | Path | None = None, *, java: str = "java") -> KafkaJars:
    """The jars to start the broker with, fetched if need be.

    Parameters
    ----------
    jars_dir
        ``kafka.jars_dir`` of the configuration.
    java
        Program that Ivy is run with.

    Raises
    ------
    EnvironmentFault
        The named folder has no Kafka, or nothing could fetch the jars.
    IntegrityError
        A jar is not the one that was committed.
    """
    if jars_dir is not None:
        return from_folder(Path(jars_dir), "kafka.jars_dir")
    home = os.environ.get("KAFKA_HOME")
    if home:
        return from_folder(Path(home) / "libs", "KAFKA_HOME")
    folder = cache_root() / f"kafka-{KAFKA_VERSION}"
    if not folder.is_dir():
        fetch(folder, java)
    return _committed(folder, "the cache")


def from_folder(folder: Path, origin: str) -> KafkaJars:
    """Jars that were put there by others: verified if they are of our version, else used as they are, and said so."""
    jars = sorted(folder.glob("*.jar"))
    core = [path for path in jars if path.name.startswith(f"{_ARTIFACT.split('_')[0]}_2.") and "-test" not in path.name]
    if not core:
        raise EnvironmentFault(
            f"{origin} says {folder}, which holds no kafka_2.*.jar",
            why="the embedded broker cannot be started",
            remedy=f"point {origin} to Kafka {KAFKA_VERSION}, or unset it to have the jars fetched",
        )
    version = core[0].stem.split("-", 1)[1]
    if version != KAFKA_VERSION:
        logger.warning(
            "Kafka %s of %s is not verified: only %s has committed checksums", version, origin, KAFKA_VERSION
        )
        return KafkaJars(tuple(jars), version, origin, verified=False)
    known = checksums()
    _verify(
        [path for path in jars if path.name in known], f"point {origin} to a whole Kafka {KAFKA_VERSION}, or unset it"
    )
    unknown = [path.name for path in jars if path.name not in known]
    if unknown:
        logger.info("%d further jars of %s are not verified: %s", len(unknown), origin, ", ".join(unknown[:5]))
    return KafkaJars(tuple(jars), version, origin, verified=not unknown)


def checksums() -> dict[str, str]:
    """File name -> SHA-256 of every jar of the committed version."""
    text = resources.files(__package__).joinpath("kafka_jars.sha256.txt").read_text()
    return {name: digest for digest, name in (line.split() for line in text.splitlines() if line)}


def cache_root() -> Path:
    """The folder of downloads. Raises EnvironmentFault where neither a variable nor a home names one."""
    if os.environ.get("OK_ML_CACHE"):
        return Path(os.environ["OK_ML_CACHE"])
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ok-ml"
    except RuntimeError as error:
        raise EnvironmentFault(
            "this user has no home folder: HOME is unset, and the list of users does not know the user",
            why="downloads are stored in its cache",
            remedy="export OK_ML_CACHE=/folder/of/yours",
        ) from error


def needs_cache(jars_dir: str | Path | None) -> bool:
    """Whether the next start of the embedded broker fetches jars into the cache."""
    return (
        jars_dir is None and not os.environ.get("KAFKA_HOME") and not (cache_root() / f"kafka-{KAFKA_VERSION}").is_dir()
    )


def logging_jars() -> list[Path]:
    """Pyspark's logging backend, which Kafka's own jars lack."""
    jars = pyspark_jars()
    return [path for start in _LOGGING_JARS for path in sorted(jars.glob(f"{start}*.jar"))]


def pyspark_jars() -> Path:
    """The jars inside the installed pyspark."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise EnvironmentFault(
            "pyspark is not installed", why="its Ivy and its logging jars are used", remedy="pip install pyspark"
        )
    return Path(spec.origin).parent / "jars"


# -- verification --------------------------------------------------------------------------------------------


def _committed(folder: Path, origin: str) -> KafkaJars:
    paths = [folder / name for name in checksums()]
    _verify(paths, f"remove them to have them fetched again: rm -r {shlex.quote(str(folder))}")
    return KafkaJars(tuple(paths), KAFKA_VERSION, origin, verified=True)


def _verify(paths: Sequence[Path], remedy: str) -> None:
    known = checksums()
    wrong = [path for path in paths if not path.is_file() or _sha256(path) != known[path.name]]
    if wrong:
        raise IntegrityError(
            f"{len(wrong)} of {len(paths)} jars of Kafka {KAFKA_VERSION} are missing or not the committed ones: "
            + ", ".join(str(path) for path in wrong[:3]),
            why="unreviewed code would run as the broker",
            remedy=remedy,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


# -- fetching ------------------------------------------------------------------------------------------------


def fetch(folder: Path, java: str) -> None:
    """Fetch the jars into a fresh folder beside `folder`, verify them, and rename it into place, once for all processes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return
        work = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        (work / "lib").mkdir(parents=True)
        try:
            _fetch_into(work, java)
            _verify([work / "lib" / name for name in checksums()], "try again; if it stays so, ask who runs the mirror")
            (work / "lib").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _fetch_into(work: Path, java: str) -> None:
    attempts = {"Ivy": _ivy(work, java), "mvn": _mvn(work)}
    failures = []
    for name, command in attempts.items():
        if shutil.which(command[0]) is None:
            failures.append(f"{name}: no {command[0]} on the path")
            continue
        problem = _run(name, command, work)
        if problem is None:
            return
        failures.append(f"{name}: {problem}")
    raise EnvironmentFault(
        f"the jars of Kafka {KAFKA_VERSION} cannot be fetched ({'; '.join(failures)})",
        why="the embedded broker cannot be started",
        remedy=f"go online for the first start, or set KAFKA_HOME or kafka.jars_dir to Kafka {KAFKA_VERSION}",
    )


def _ivy(work: Path, java: str) -> list[str]:
    ivy = next(iter(sorted(pyspark_jars().glob("ivy-2*.jar"))), Path("ivy.jar"))
    # relative to the folder it works in: brackets of a path would be a part of the pattern
    pattern = "lib/[artifact]-[revision](-[classifier]).[ext]"
    return [
        java,
        f"-Duser.home={work}",
        "-cp",
        str(ivy),
        "org.apache.ivy.Main",
        "-cache",
        "ivy",
        "-confs",
        "default",
        "-types",
        "jar",
        "bundle",
        "-dependency",
        "org.apache.kafka",
        _ARTIFACT,
        KAFKA_VERSION,
        "-retrieve",
        pattern,
    ]


def _mvn(work: Path) -> list[str]:
    (work / "pom.xml").write_text(_POM.format(artifact=_ARTIFACT, version=KAFKA_VERSION))
    return [
        "mvn",
        "--batch-mode",
        "--quiet",
        "--file",
        "pom.xml",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        "-DoutputDirectory=lib",
    ]


def _run(name: str, command: list[str], work: Path) -> str | None:
    """Run a fetching command with progress; what went wrong, or None."""
    logger.info("fetching Kafka %s with %s: %d jars, about 45 MB, once", KAFKA_VERSION, name, len(checksums()))
    log, started = work / f"{name}.log", time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=work,
            env={**os.environ, **utf8_locale()},
        )
        try:
            _watch(process, work, started)
        finally:
            timed_out = process.poll() is None
            process.kill()
            process.wait()
    if timed_out:
        return f"no end after {_FETCH_SECONDS:.0f} s"
    present = len(list((work / "lib").glob("*.jar")))
    if process.returncode == 0 and present >= len(checksums()):
        return None
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"exit code {process.returncode}, {present} jars; {' | '.join(lines[-2:])[:300]}"


def _watch(process: "subprocess.Popen[bytes]", work: Path, started: float) -> None:
    """Wait for the end, a bounded time, saying now and then how far it is."""
    while time.monotonic() - started < _FETCH_SECONDS:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SAY_SECONDS)
            return
        here = {path.name for path in work.rglob("*.jar")}
        logger.info("still fetching Kafka, %.0f s, %d jars are here", time.monotonic() - started, len(here))
