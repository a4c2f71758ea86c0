"""What the README says exists, parses and holds, in both languages."""

import re
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import rich_click as click
from ruamel.yaml import YAML

from tests.small_project import ROOT

ENGLISH, RUSSIAN = "README.md", "README.ru.md"
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (ENGLISH, RUSSIAN)}
BOTH = pytest.mark.parametrize("name", TEXTS)
EXAMPLE = "configs/experiments/fresh_discovery.yml"  # what a reader is to create
MADE_BY_A_RUN = (".venv", ".ok_ml/")
MEANT = {"EXPERIMENT": "prod_discovery", "ENTITY_ID": "42", "NAME": "tiny", "GENERATION": "20260105-101500-123"}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def blocks(name: str, kind: str = "") -> list[str]:
    return [body for found, body in _BLOCK.findall(TEXTS[name]) if kind in ("", found)]


def prose(name: str) -> str:
    return _BLOCK.sub("", TEXTS[name])


def tree(name: str) -> str:
    (found,) = (block for block in blocks(name) if block.startswith("configs/ "))
    return found


def local_links(name: str) -> list[str]:
    return [target for target in _LINK.findall(prose(name)) if "://" not in target]


def command_lines(name: str, program: str) -> list[str]:
    """Every call of a program in the text, without comments: from code blocks, and from words set as code."""
    lines = [line.split("#")[0].removeprefix("$ ").strip() for block in blocks(name) for line in block.splitlines()]
    found = [text for text in [*lines, *_INLINE.findall(prose(name))] if text.split(" ")[0] == program]
    return [text for text in dict.fromkeys(found) if text != program]


# -- paths ---------------------------------------------------------------------------------------------------------------


_FOLDERS = {
    "LASTFM_DIR",
    "SMS_DIR",
    "CLICKBAIT_DIR",
}  # where the files of a data set are that does not come with the project


@BOTH
def test_every_path_exists(name: str) -> None:
    words = [*_INLINE.findall(prose(name)), *(line.split()[0] for line in tree(name).splitlines()), *local_links(name)]
    paths = {
        word
        for word in words
        if re.fullmatch(r"(configs|ok_ml|bench|tests|docs|drills|ops)/\S*|\S+\.(lock|md|toml)|LICENSE", word)
    }
    assert len(paths) > 25
    assert sorted(path for path in paths if not (ROOT / path).exists()) == [EXAMPLE]


@BOTH
def test_the_tree_names_every_package(name: str) -> None:
    named = {line.split()[0].rstrip("/") for line in tree(name).splitlines()}
    packages = {f"ok_ml/{path.parent.name}" for path in (ROOT / "ok_ml").glob("*/__init__.py")}
    assert packages <= named


@BOTH
def test_every_picture_is_there(name: str) -> None:
    pictures = [ROOT / target for target in local_links(name) if target.startswith("docs/images/")]
    assert len(set(pictures)) == 17
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG\r\n"), path


# -- commands ------------------------------------------------------------------------------------------------------------


@BOTH
def test_every_make_target_and_setting_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets, settings = set(_TARGET.findall(makefile)), set(re.findall(r"^([A-Z_]+) \?=", makefile, re.MULTILINE))
    called = [word for line in command_lines(name, "make") for word in line.split()[1:]]
    assert {word for word in called if "=" not in word} <= targets
    set_there = {word.split("=")[0] for word in [*called, *_INLINE.findall(prose(name))] if re.match(r"[A-Z_]+=", word)}
    assert set_there >= {"SIZE", "EXPERIMENT", "FORCE", "TARGET"}
    assert set_there <= settings | _FOLDERS | {"PYTHON"}
    assert all(f"ifdef {name}\n" in makefile for name in (*_FOLDERS, "PYTHON"))


@BOTH
def test_every_public_target_is_told(name: str) -> None:
    shown = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help", "setup"}
    assert shown <= {word for line in command_lines(name, "make") for word in line.split()}


def parsed(arguments: list[str]) -> str | None:
    """Parse a command line as the program does, without running it; returns the subcommand."""
    from ok_ml.cli.main import main

    context = main.make_context("ok-ml", list(arguments))
    rest = [*context._protected_args, *context.args]
    if not rest:
        return None
    name, command, left = main.resolve_command(context, rest)
    assert command is not None
    if len(arguments) > 1:  # a bare name in a sentence is a mention, not a call
        command.make_context(name, left, parent=context)
    return name


@BOTH
def test_every_ok_ml_command_parses_and_none_is_missing(name: str) -> None:
    from ok_ml.cli.main import COMMANDS

    told = set()
    for line in command_lines(name, "ok-ml"):
        words = [MEANT.get(word.strip("[]"), word) for word in line.split()[1:]]
        told.add(parsed(words))
    assert told - {None} == set(COMMANDS)


def test_a_wrong_command_line_would_be_found() -> None:
    with pytest.raises(click.UsageError, match="--sizes"):
        parsed(["run", "--sizes", "tiny"])


@pytest.fixture
def ok_ml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Call `ok-ml ...` on the shipped configuration, with a state folder of its own."""
    from ok_ml.cli.main import run

    monkeypatch.setenv("OK_ML_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("OK_ML_SIZE", "default")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(list(arguments))
        return code, capsys.readouterr().out

    return call


def test_every_help_answers(ok_ml: Callable[..., tuple[int, str]]) -> None:
    from ok_ml.cli.main import COMMANDS

    for command in COMMANDS:
        code, out = ok_ml(command, "--help")
        assert code == 0
        assert f"ok-ml {command}" in out
        assert "--json" in out  # "Every command has --json"


@pytest.mark.parametrize(
    "line", ["config prod_discovery", "config", "validate", "features", "features prod_discovery --entity pair"]
)
def test_commands_that_only_read_the_configuration_work(line: str, ok_ml: Callable[..., tuple[int, str]]) -> None:
    code, out = ok_ml(*line.split(), "--json")
    assert code == 0
    assert orjson.loads(out)


def test_doctor_looks_at_everything(ok_ml: Callable[..., tuple[int, str]]) -> None:
    code, out = ok_ml("doctor")
    assert code in {0, 3}  # whether this machine has every port free is not the README's business
    assert {"java", "git", "memory", "packages"} <= {line.split()[1] for line in out.splitlines() if line[:1].isalpha()}


# -- what it shows ----------------------------------------------------------------------------------------------------------


@BOTH
def test_the_new_model_is_valid_and_adds_what_is_said(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    before = sizes_of_graph(tmp_path)
    (body,) = (block for block in blocks(name, "yaml") if block.startswith("experiment: "))
    (tmp_path / EXAMPLE).write_text(body, encoding="utf-8")
    after = sizes_of_graph(tmp_path)
    assert [new - old for new, old in zip(after, before, strict=True)] == [18, 2, 7]


def sizes_of_graph(root: Path) -> list[int]:
    """How many assets, jobs and checks."""
    from ok_ml.config.loader import find_problems, load_project
    from ok_ml.definitions import build_definitions

    assert find_problems(root) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = build_definitions(load_project(root, "default"))
        graph = made.resolve_asset_graph()
    return [len(graph.get_all_asset_keys()), len(list(made.jobs or [])), len(graph.asset_check_keys)]


@BOTH
def test_the_planted_fault_is_one_that_the_world_knows(name: str) -> None:
    from ok_ml.config.models import Incident

    (body,) = (block for block in blocks(name, "yaml") if block.startswith("world:"))
    planted: list[dict[str, Any]] = YAML(typ="safe").load(body)["world"]["incidents"]
    assert [Incident.model_validate(one).kind for one in planted] == ["shift"]


@BOTH
def test_addresses_and_counts_are_those_of_the_code(name: str) -> None:
    from ok_ml.config.loader import load_project
    from ok_ml.features.declared.registry import FEATURES
    from ok_ml.local.broker.kafka_jars import KAFKA_VERSION
    from ok_ml.serving.requests import MAX_IDS

    environment = load_project(ROOT, "default").environment
    ports = {environment.service.port, environment.dagster.port, environment.mlflow.port}
    assert {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", TEXTS[name])} == ports
    locked = re.findall(r"^[A-Za-z0-9][\w.-]*(?:\[[^]]*\])?==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    digits = TEXTS[name].replace("\N{NO-BREAK SPACE}", "").replace(",", "").replace(" ", "")
    (packages,) = re.findall(r"^\| (?:download|загрузка), (\d+) ", TEXTS[name], re.MULTILINE)
    assert int(packages) == len(locked)
    for number in (len(FEATURES), KAFKA_VERSION, MAX_IDS, f"{environment.world_clock.day_seconds:.0f}"):
        assert str(number) in digits


# -- two languages ------------------------------------------------------------------------------------------------------------


def test_headings_links_and_code_are_the_same_in_both_languages() -> None:
    levels = [[len(found) for found in re.findall(r"^(#+) ", prose(name), re.MULTILINE)] for name in TEXTS]
    assert levels[0] == levels[1]
    other = {ENGLISH: RUSSIAN, RUSSIAN: ENGLISH}
    assert [other.get(link, link) for link in local_links(ENGLISH)] == local_links(RUSSIAN)
    assert [without_words(block) for block in blocks(ENGLISH)] == [without_words(block) for block in blocks(RUSSIAN)]


def without_words(block: str) -> list[str]:
    """A block without comments; of the tree only the paths."""
    if block.startswith("configs/ "):
        return [line.split()[0] for line in block.splitlines()]
    return [line.split(" #")[0].rstrip() for line in block.splitlines()]


def test_tables_say_the_same_numbers_in_both_languages() -> None:
    english, russian = ([row for row in prose(name).splitlines() if row.startswith("|")] for name in (ENGLISH, RUSSIAN))
    assert len(english) == len(russian) > 50
    for row, other in zip(english, russian, strict=True):
        assert re.sub(r"\D", "", row) == re.sub(r"\D", "", other), f"{row}\n{other}"
        assert row.count("|") == other.count("|")
