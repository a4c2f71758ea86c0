"""Finding a Java that the broker runs on."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from ok_ml.errors import EnvironmentFault

MIN_VERSION: Final = 17


def find_java() -> str:
    """The `java` program of JAVA_HOME, else of the path, of version 17 at least.

    Raises
    ------
    EnvironmentFault
        There is none, it does not run, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None or not Path(found).is_file():
        raise _fault(f"no java: {f'JAVA_HOME is {home}' if home else 'JAVA_HOME is unset and the path has none'}")
    try:
        text = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise _fault(f"{found} does not run: {error}") from error
    version = re.search(r'version "(\d+)', text)
    if version is None or int(version[1]) < MIN_VERSION:
        raise _fault(
            f"{found} is {version[1] if version else 'of an unknown version'}, expected Java {MIN_VERSION} or newer"
        )
    return found


def _fault(problem: str) -> EnvironmentFault:
    return EnvironmentFault(
        problem,
        why="the embedded Kafka broker runs on it",
        remedy=f"install Java {MIN_VERSION} or newer, or set JAVA_HOME",
    )
