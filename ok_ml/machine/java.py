"""The Java that Spark and Kafka run on."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ok_ml.errors import EnvironmentFault

LEAST_JAVA: Final = 17


@dataclass(frozen=True)
class Java:
    """A program that was tried, and what it says of its version."""

    program: str
    says: str


def find_java(*, why: str, otherwise: str = "") -> Java:
    """The `java` of JAVA_HOME, else of the path.

    Parameters
    ----------
    why
        What cannot go on without it.
    otherwise
        What else would help, continuing the remedy.

    Raises
    ------
    EnvironmentFault
        There is none, it does not run, or it is older than Java 17.
    """
    remedy = f"install Java {LEAST_JAVA} or newer and set JAVA_HOME to it{otherwise}"
    home = os.environ.get("JAVA_HOME")
    program = shutil.which(str(Path(home) / "bin" / "java")) if home else shutil.which("java")
    if program is None:
        where = f"JAVA_HOME is {home}, which has no bin/java" if home else "JAVA_HOME is unset, the path has none"
        raise EnvironmentFault(f"no Java was found: {where}", why=why, remedy=remedy)
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentFault(f"{program} does not run: {error}", why=why, remedy=remedy) from error
    version = java_version(said)
    if version is None or version < LEAST_JAVA:
        version_text = f"{program} is Java {version or 'of an unknown version'}"
        raise EnvironmentFault(f"{version_text}, expected {LEAST_JAVA} or newer", why=why, remedy=remedy)
    return Java(program, said)


def utf8_locale() -> dict[str, str]:
    """Variables with which a JVM reads the letters of paths: with LC_ALL=C those beyond ASCII would be lost to it."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    said = next((value for value in names if value), "")
    return {} if "utf" in said.lower() else {"LC_ALL": "C.UTF-8"}


def java_option(text: str) -> str:
    """One option as it stands in a line of options that Spark splits at blanks, as a shell would."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != text or any(letter.isspace() or letter == "'" for letter in text) else text


def java_version(text: str) -> int | None:
    """The feature release in what `java -version` prints: 17 of "17.0.15", 8 of "1.8.0_392"; None if there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None
