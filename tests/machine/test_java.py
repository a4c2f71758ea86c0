"""Which Java is found, and what is said if there is none that will do."""

from pathlib import Path

import pytest

from ok_ml.errors import EnvironmentFault
from ok_ml.machine.java import find_java, java_version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ("zsh: command not found: java", None),
    ],
)
def test_the_version_is_read_in_all_its_spellings(text: str, expected: int | None) -> None:
    assert java_version(text) == expected


def _fake_java(folder: Path, script: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_no_java_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EnvironmentFault, match=r"(?s)the path has none.*it is a test.*install Java 17 or newer .*, or not"
    ):
        find_java(why="it is a test", otherwise=", or not")


def test_java_home_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    with pytest.raises(EnvironmentFault, match=r"JAVA_HOME is .*gone, which has no bin/java"):
        find_java(why="")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'openjdk version \"11.0.2\" 2019-01-15' >&2", "is Java 11, expected 17 or newer"),
        ("echo hello >&2", "is Java of an unknown version, expected 17 or newer"),
        ("exit 3", "bin/java does not run: .*exit status 3"),
    ],
)
def test_java_that_will_not_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, told: str) -> None:
    _fake_java(tmp_path / "jdk", script)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    with pytest.raises(EnvironmentFault, match=told):
        find_java(why="")


def test_java_home_comes_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = _fake_java(tmp_path / "jdk", "echo 'openjdk version \"17.0.1\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    found = find_java(why="")
    assert (found.program, found.says) == (str(program), 'openjdk version "17.0.1"\n')
