"""Great Expectations as it is imported and asked here: quietly, and for one expectation at a time.

Run as a module it writes down which expectations the installed GX has: `python -m ok_ml.config.gx`.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from ok_ml.config.extensions import load_class
from ok_ml.config.sections.code_kinds import EXPECTATIONS
from ok_ml.config.sections.expectation_models import COMMON, GALLERY
from ok_ml.errors import ConfigError

# How an expectation is run is the check's, not the YAML's.
_NOT_SAID: Final = ("id", "result_format", "catch_exceptions", "rendered_content", "windows", "batch_id")


def great_expectations() -> Any:
    """The package, which does not call home."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    with _without_spark_connect():
        import great_expectations as gx
        import great_expectations.expectations
    return gx


def expectation_class(name: str, root: Path) -> Any:
    """The class behind the name of an expectation, or behind the path of one below the project.

    Raises
    ------
    ConfigError
        There is none, or it is no expectation.
    """
    gx = great_expectations()
    if ":" in name:
        return load_class(EXPECTATIONS, name, root, gx.expectations.Expectation)
    from great_expectations.expectations.registry import get_expectation_impl

    return get_expectation_impl(name)


def build(name: str, arguments: Mapping[str, Any], root: Path) -> Any:
    """One expectation of GX.

    Raises
    ------
    ConfigError
        GX does not take these arguments; says which and why.
    """
    made = expectation_class(name, root)
    try:
        return made(**arguments)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{name}: {_told(error)}",
            why="an expectation that cannot be built would never fail",
            remedy="correct its arguments under checks.expectations; `ok-ml validate` checks again",
        ) from error


def _told(error: Exception) -> str:
    """GX's complaints by argument, each once."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    by_key: dict[str, list[str]] = {}
    for one in listed():
        key = ".".join(str(step) for step in one["loc"])
        by_key.setdefault(key, []).append(one["msg"])
    return "; ".join(f"{key}: {', or '.join(dict.fromkeys(told))}" for key, told in by_key.items())


def installed() -> dict[str, dict[str, list[str]]]:
    """What `expectation_models.gallery` must say: every expectation of the installed GX with its arguments."""
    great_expectations()
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    arguments: dict[str, dict[str, list[str]]] = {}
    for name in sorted(list_registered_expectation_implementations()):
        made = get_expectation_impl(name)
        if made.__module__.startswith("great_expectations."):
            fields = {key: one for key, one in made.__fields__.items() if key not in (*_NOT_SAID, *COMMON)}
            required = sorted(key for key, one in fields.items() if one.required)
            arguments[name] = {"required": required, "optional": sorted(set(fields) - set(required))}
    return arguments


def write_gallery() -> None:
    """Write the list again; after an upgrade of GX."""
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(said)}" for name, said in installed().items())
    head = f'{{\n "great_expectations": {json.dumps(version("great-expectations"))},\n "expectations": {{\n'
    GALLERY.write_text(f"{head}{rows}\n }}\n}}\n", encoding="utf-8")


@contextmanager
def _without_spark_connect() -> Iterator[None]:
    """Keep an import from reaching for Spark Connect.

    In a spawned process, as Dagster's runs are, `pyspark.sql.connect` takes itself for a doctest and ends the process
    with exit code 0 if one of its own dependencies is missing.
    """
    name = "pyspark.sql.connect"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast("ModuleType", None)
    try:
        yield
    finally:
        del sys.modules[name]


if __name__ == "__main__":
    write_gallery()
