"""The archive of the JVM's classes: found whole or not at all, and never a reason to fail."""

import logging
from pathlib import Path

import pytest

from ok_ml.resources import class_archive
from ok_ml.resources.class_archive import make_archive
from ok_ml.resources.spark import archive_key, archive_options, find_archive

JAVA = 'openjdk version "17.0.15"'


def _archive(cache: Path, size: int, java: str = JAVA) -> Path:
    path = cache / f"spark-{archive_key(java)}-{size}.jsa"
    path.write_bytes(b"x" * 100)
    return path


def test_only_a_whole_archive_of_this_java_is_found(tmp_path: Path) -> None:
    assert find_archive(tmp_path / "nothing", JAVA) is None
    _archive(tmp_path, 101)  # a byte is missing
    _archive(tmp_path, 100, 'openjdk version "21"')
    assert find_archive(tmp_path, JAVA) is None
    whole = _archive(tmp_path, 100)
    assert find_archive(tmp_path, JAVA) == whole
    assert f"-XX:SharedArchiveFile={whole}" in archive_options(whole)


def test_an_archive_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_archive, "_WARM_UP", "raise SystemExit('not to be run')")
    assert make_archive(tmp_path, tmp_path / "state", JAVA) is None
    whole = _archive(tmp_path, 100)
    assert make_archive(tmp_path, tmp_path / "state", JAVA) == whole


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit('no Java here')", "no Java here"),
        ("pass", "the JVM wrote 0 bytes, expected at least 20000000"),
    ],
)
def test_a_failure_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str, said: str
) -> None:
    monkeypatch.setattr(class_archive, "_WARM_UP", script)
    with caplog.at_level(logging.WARNING):
        assert make_archive(tmp_path / "cache", tmp_path / "state", JAVA) is None
    assert f"no class archive, Spark starts without: {said}" in caplog.text
    assert not list((tmp_path / "cache").iterdir())
