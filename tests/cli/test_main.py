"""The command line as a person and a program meet it: help, exit codes, streams, colour, speed."""

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ok_ml import errors
from ok_ml.cli.context import EXAMPLES
from ok_ml.cli.failures import told
from ok_ml.cli.main import COMMANDS, main
from tests.cli.published import publish
from tests.small_project import edit

OK_ML = Path(sys.executable).with_name("ok-ml")
HEAVY = {"dagster", "mlflow", "pyspark", "pandas", "lightgbm", "great_expectations", "scipy", "implicit"}
Ok = Callable[..., "object"]


def environment(**more: str) -> dict[str, str]:
    dropped = ("OK_ML", "NO_COLOR", "PYTHONDONTWRITEBYTECODE", "FORCE_COLOR")
    return (
        {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | {"TERM": "xterm"} | more
    )


def shell(root: Path, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("ok-ml", shlex.quote(str(OK_ML)))
    return subprocess.run(
        ["bash", "-c", command],
        cwd=root,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- start-up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["get", "toy_sources", "1"], ["config", "toy_sources"]]
)
def test_start_up_imports_nothing_heavy(root: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    publish(root, 1_700_000_000_000)
    code = f"import sys; from ok_ml.cli.main import run; code = run({arguments}); print(code, *sys.modules, file=sys.stderr)"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    seconds = time.perf_counter() - started
    exit_code, *modules = done.stderr.split("\n")[-2].split()
    assert exit_code == "0", done.stderr
    assert not HEAVY & set(modules)
    with capsys.disabled():
        print(f"\n  ok-ml {' '.join(arguments)}: {seconds:.2f} s", end="")  # noqa: T201


# -- help ----------------------------------------------------------------------------------------------------------


def help_of(name: str) -> str:
    command = main.get_command(main.make_context("ok-ml", ["--version"], resilient_parsing=True), name)
    assert command is not None
    return command.help or ""


def examples_of(name: str) -> list[str]:
    return [line.strip() for line in help_of(name).split(EXAMPLES)[1].splitlines() if line.strip()]


def test_help_lists_every_command_with_a_sentence(ok: Ok) -> None:
    shown = ok("--help")
    assert shown.code == 0
    for name in COMMANDS:
        line = next(line for line in shown.out.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_two_examples_that_parse(ok: Ok, name: str) -> None:
    shown = ok(name, "--help")
    assert shown.code == 0
    assert "--json" in shown.out
    examples = examples_of(name)
    assert len(examples) >= 2
    for example in examples:
        assert example in shown.out
        words = shlex.split(example.split(" > ")[0].split(" | ")[0])
        assert words[0] == "ok-ml"
        with main.make_context("ok-ml", words[1:]) as context:
            rest = [*context._protected_args, *context.args]
            found, command, arguments = main.resolve_command(context, rest)
            assert found == name
            assert command is not None
            command.make_context(name, arguments, parent=context)


def test_without_arguments_the_help_goes_to_standard_error(ok: Ok) -> None:
    shown = ok()
    assert (shown.code, shown.out) == (2, "")
    assert "Usage: ok-ml" in shown.err


# -- errors --------------------------------------------------------------------------------------------------------

CODES = {
    errors.OkMlError: 1,
    errors.UsageError: 2,
    errors.ConfigError: 2,
    errors.DataError: 1,
    errors.NotCommitted: 1,
    errors.ModelError: 1,
    errors.EnvironmentFault: 3,
    errors.GateRefused: 4,
    errors.IntegrityError: 1,
    errors.ServiceUnavailable: 3,
    errors.Stale: 5,
}


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_a_deliberate_error_is_told_in_six_lines_with_its_exit_code(
    ok: Ok, kind: type[errors.OkMlError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_root: object) -> list[str]:
        raise kind("\n".join(f"line {n}" for n in range(20)), why="it matters\nmuch", remedy="make run")

    monkeypatch.setattr("ok_ml.config.loader.find_problems", fail)
    shown = ok("validate")
    assert (shown.code, shown.out) == (CODES[kind], "")
    lines = shown.err.splitlines()
    assert len(lines) == 6
    assert lines[0] == "Error: line 0"
    assert lines[-2:] == ["  why it matters: it matters much", "  what to do:     make run"]


def test_debug_lets_the_traceback_through(ok: Ok, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_root: object) -> list[str]:
        raise errors.DataError("broken")

    monkeypatch.setattr("ok_ml.config.loader.find_problems", fail)
    with pytest.raises(errors.DataError, match="broken"):
        ok("--debug", "validate")


@pytest.mark.parametrize(("flag", "expected"), [([], False), (["--debug"], True)])
def test_an_unexpected_error_shows_no_traceback_unless_asked(root: Path, flag: list[str], expected: bool) -> None:
    code = (
        "import sys, ok_ml.config.loader as loader\n"
        "def fail(root): return {}['missing']\n"
        "loader.find_problems = fail\n"
        f"from ok_ml.cli.main import run\nsys.exit(run([*{flag}, 'validate']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) is expected
    assert "KeyError: 'missing'" in done.stderr
    if not expected:
        assert len(done.stderr.splitlines()) <= 6
        assert "ok-ml --debug" in done.stderr


def test_many_configuration_problems_are_cut_to_six_lines_without_losing_the_remedy() -> None:
    problems = tuple(f"configs/x.yml:{n}:1: key: expected a number, got 'x'" for n in range(1, 30))
    lines = told(errors.ConfigError("all of them", remedy="x", problems=problems))
    assert len(lines) == 6
    assert lines[0] == "29 problems in the configuration:"
    assert lines[4] == "  ... and 26 more"
    assert "ok-ml validate" in lines[5]


def test_a_configuration_error_stops_before_any_work(ok: Ok, root: Path) -> None:
    edit(root, "configs/experiments/toy_sources.yml", "num_trees: 150", "num_tree: 150")
    shown = ok("run", "toy_sources")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(
        "Error: configs/experiments/toy_sources.yml:9:5: stages.model.num_tree: expected one of"
    )
    assert "did you mean 'num_trees'?" in shown.err
    assert len(shown.err.splitlines()) <= 6
    assert not (root / ".ok_ml").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gte", "toy_sources", "1"], "No such command 'gte'. Did you mean 'get'?"),
        (["statsu"], "No such command 'statsu'. Did you mean 'status'?"),
        (["run", "--sze", "tiny"], "No such option '--sze'. Did you mean '--size'?"),
        (["run", "toy_surces"], "no experiment named 'toy_surces'; did you mean 'toy_sources'? (known: toy_sources)"),
        (["get", "toy_surces", "1"], "no experiment named 'toy_surces'; did you mean 'toy_sources'?"),
        (["run", "--size", "tny"], "--size: expected one of default, tiny as size, got 'tny'; did you mean 'tiny'?"),
        (["--env", "lcal", "config"], "got 'lcal'; did you mean 'local'?"),
        (["get", "toy_sources"], "Missing argument 'ENTITY_ID'."),
        (["get", "toy_sources", "1", "-n", "0"], "Invalid value for '-n'"),
        (["get", "toy_sources", "99999999999999999999"], "does not fit into 64 bits"),
        (["rollback", "toy_sources", "--to", "yesterday"], "'yesterday' is not a generation"),
        (["--project", "/nowhere", "config"], "/nowhere has no configs/base.yml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_with_what_was_meant(ok: Ok, arguments: list[str], expected: str) -> None:
    shown = ok(*arguments)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("Error: ")
    assert expected in shown.err
    assert len(shown.err.splitlines()) <= 6
    assert "what to do:" in shown.err


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(root: Path) -> None:
    code = (
        "import sys, time, ok_ml.config.loader as loader\n"
        "def wait(root): print('waiting', flush=True); time.sleep(30)\n"
        "loader.find_problems = wait\n"
        "from ok_ml.cli.main import run\nsys.exit(run(['validate']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        _out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Interrupted" in err
    assert "Traceback" not in err


# -- streams and colour --------------------------------------------------------------------------------------------


def on_a_terminal(root: Path, *arguments: str, **more: str) -> str:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [OK_ML, *arguments], cwd=root, env=environment(**more), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # Linux says EIO at the end of a terminal
        pass
    os.close(ours)
    child.wait(timeout=30)
    return seen.decode()


@pytest.mark.parametrize("arguments", [["--help"], ["config", "toy_sources"], ["run", "nonsense"]])
def test_colour_is_for_terminals_that_want_it(root: Path, arguments: list[str]) -> None:
    assert "\x1b[" in on_a_terminal(root, *arguments)
    assert "\x1b[" not in on_a_terminal(root, *arguments, NO_COLOR="1")
    piped = shell(root, f"ok-ml {' '.join(arguments)} 2>&1 | cat", GITHUB_ACTIONS="true")
    assert "\x1b" not in piped.stdout


def test_a_closed_pipe_is_no_error(root: Path) -> None:
    done = shell(root, "set -o pipefail; ok-ml config toy_sources | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# environment")


def test_data_go_to_standard_output_and_talk_does_not(ok: Ok, root: Path) -> None:
    publish(root, 1_700_000_000_000)
    shown = ok("get", "toy_sources", "77", "--json")
    assert shown.json["fallback"] is True
    shown = ok("get", "toy_sources", "77")
    assert "unknown" in shown.err
    assert "unknown" not in shown.out
