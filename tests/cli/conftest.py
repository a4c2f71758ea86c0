from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.small_project import make_project


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return orjson.loads(self.out)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def ok(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Call `ok-ml ...` in this process, in the small project's folder."""
    import sys

    from ok_ml.cli.main import run

    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE", "DAGSTER_HOME", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)  # what the command sets is undone after the test

    def call(*arguments: str) -> Called:
        capsys.readouterr()
        code = run(list(arguments))
        return Called(code, *capsys.readouterr())

    return call
