"""Dagster's private names: those that are used are there, in the version that is pinned, and nobody else imports one."""

import re
from importlib.metadata import version

import pytest

from ok_ml.cli.examination.machine_checks import pinned
from ok_ml.graph import dagster_private
from tests.small_project import ROOT

ALLOWED = {"ok_ml/graph/dagster_private.py", "ok_ml/local/services/dagster_storage.py"}
PRIVATE = re.compile(r"^\s*(from|import) (dagster\._\w+|dagster_shared)", re.MULTILINE)


@pytest.mark.parametrize("name", dagster_private.__all__)
def test_a_private_name_is_there(name: str) -> None:
    assert getattr(dagster_private, name) is not None


def test_the_installed_dagster_is_the_locked_one_and_bounded_above() -> None:
    locked = pinned((ROOT / "requirements.lock").read_text())
    text = (ROOT / "pyproject.toml").read_text()
    for package in ("dagster", "dagster-webserver", "dagster-graphql", "dagster-mlflow", "dagster-pyspark"):
        assert version(package) == locked[package]
        assert re.search(rf'"{package}>=[0-9.]+,<[0-9.]+"', text), package


def test_no_other_module_imports_one() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ok_ml").rglob("*.py")
        if PRIVATE.search(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED
