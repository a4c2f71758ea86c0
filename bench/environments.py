"""Peers that ask for other versions of packages than ours: each gets an environment of its own, made anew for a measurement."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.rows import Row
from bench.targets import Settings

_INSTALL_SECONDS: Final = 600


def with_peer(
    settings: Settings,
    name: str,
    variable: str,
    packages: Sequence[str],
    unit: str,
    measure: Callable[[str], list[Row]],
) -> list[Row]:
    """What is measured with a peer's interpreter where it can be had; else a row that says why not; nothing of small data.

    Parameters
    ----------
    variable
        Environment variable that may name an interpreter that has the peer already.
    packages
        Of the peer's environment; python is ours, nothing else is shared.
    measure
        Called with the interpreter.
    """
    if settings.quick and variable not in os.environ:
        return []
    try:
        python = os.environ.get(variable) or _environment(settings.folder / name.lower(), packages)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        reason = " ".join(str(said).split())[-120:]
        return [Row(f"{name} is not measured: {reason}", 0.0, unit, name, float("inf"))]
    return measure(python)


def _environment(folder: Path, packages: Sequence[str]) -> str:
    """A fresh environment with some packages in it; returns its interpreter."""
    python = folder / "bin" / "python"
    commands = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *packages],
    )
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    return str(python)
