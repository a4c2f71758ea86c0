"""From an error to an exit code and at most six lines on standard error.

Codes: 0 done, 1 failed, 2 usage or configuration, 3 environment, 4 refused by a gate, 5 stale, 130 interrupted.
"""

import sys
import types
from typing import Final

import click

from ok_ml.cli.output import say, styled
from ok_ml.errors import ConfigError, OkMlError

INTERRUPTED: Final = 130
_MOST_LINES: Final = 6
_WIDEST: Final = 400
_REMEDY: Final = "what to do:"


def told(error: OkMlError) -> list[str]:
    """The lines for a deliberate error; a long list of configuration problems is cut, never the remedy."""
    if isinstance(error, ConfigError) and error.problems:
        return _config_lines(error)
    problem = [line.rstrip() for line in error.problem.splitlines() if line.strip()] or ["failed"]
    tail = _tail(error)
    return _cut([*problem[: _MOST_LINES - len(tail)], *tail])


def _config_lines(error: ConfigError) -> list[str]:
    count = len(error.problems)
    if count == 1:
        return _cut([error.problems[0], *_tail(error)])
    room = _MOST_LINES - 2
    shown = error.problems if count <= room else error.problems[: room - 1]
    rest = [f"  ... and {count - len(shown)} more"] if count > len(shown) else []
    return _cut(
        [
            f"{count} problems in the configuration:",
            *(f"  {line}" for line in shown),
            *rest,
            "  what to do:     correct these lines; `ok-ml validate` lists all",
        ]
    )


def _tail(error: OkMlError) -> list[str]:
    parts = (("why it matters: ", error.why), (f"{_REMEDY}     ", error.remedy))
    return [f"  {label}{' '.join(text.split())}" for label, text in parts if text]


def _cut(lines: list[str]) -> list[str]:
    """The lines, long ones cut, but never the one that says what to do."""
    whole = [len(line) <= _WIDEST or line.lstrip().startswith(_REMEDY) for line in lines]
    return [line if fits else line[: _WIDEST - 3] + "..." for line, fits in zip(lines, whole, strict=True)]


def report(error: OkMlError) -> int:
    """Say what happened; returns the exit code."""
    first, *rest = told(error)
    _say_error(first)
    for line in rest:
        say(line)
    return error.exit_code


def report_usage(error: click.ClickException) -> int:
    """Say what was wrong with the call; returns the exit code."""
    _say_error(" ".join(error.format_message().split()))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "ok-ml"
    say(f"  what to do:     see `{path} --help`")
    return error.exit_code


def report_interrupt() -> int:
    """Say that Ctrl-C was heard; returns the exit code."""
    say("\nInterrupted. What was committed stays; the same command continues from there.")
    return INTERRUPTED


def hide_tracebacks() -> None:
    """From now on an unexpected error is reported in a few lines too; Python still ends with exit code 1."""
    sys.excepthook = _unexpected


def _unexpected(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    text = str(error).strip().split("\n", 1)[0]
    _say_error(f"{kind.__name__}: {text[:_WIDEST]}{where}")
    say("  why it matters: this is not an error that the program expects: probably a mistake in it")
    say(
        "  what to do:     run it again as `ok-ml --debug ...` for the traceback, and report it with `ok-ml doctor --json`"
    )


def _say_error(text: str) -> None:
    say(styled("Error: ", "fail", stream=sys.stderr) + text)
