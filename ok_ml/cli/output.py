"""How commands speak: data on standard output, everything else on standard error, colour only where it is wanted."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final, TextIO

_STYLES: Final = {"ok": "32", "warn": "33", "fail": "31;1", "unknown": "36", "bold": "1", "dim": "2"}


class ReaderLeft(Exception):  # noqa: N818 - no error: whoever read our output, e.g. `head`, has enough
    """Standard output has no reader any more."""


def colour_wanted(stream: TextIO | None = None) -> bool:
    """Whether escape codes may go to a stream: only a terminal gets them, and not under NO_COLOR or TERM=dumb."""
    chosen = stream or sys.stdout
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and chosen.isatty()


def styled(text: str, style: str, *, stream: TextIO | None = None) -> str:
    """Text in a style (ok, warn, fail, unknown, bold, dim), plain where colour is not wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style in _STYLES and colour_wanted(stream) else text


def say(text: str) -> None:
    """One line for the person, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def write_line(text: str) -> None:
    """One line of data, on standard output."""
    try:
        sys.stdout.write(text + "\n")
    except BrokenPipeError as error:
        raise ReaderLeft from error


def write_json(value: Any) -> None:
    """A JSON document on standard output, indented, keys in the order given."""
    import orjson

    write_line(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def write_table(
    headers: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = (), style_of: str = ""
) -> None:
    """An aligned table on standard output; without rows nothing but its head.

    Parameters
    ----------
    right
        Headers of the columns that are aligned to the right: numbers.
    style_of
        Header of the column whose own words (ok, warn, fail, ...) give its colour.
    """
    for line in aligned(headers, rows, right=right, style_of=style_of):
        write_line(line)


def aligned(
    headers: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = (), style_of: str = ""
) -> list[str]:
    """The lines of a table, its head first; see `write_table`."""
    lines = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(header), *(len(line[index]) for line in lines)]) for index, header in enumerate(headers)]
    head = _row([header.upper() for header in headers], headers, widths, right, "bold")
    return [head, *(_row(line, headers, widths, right, style_of) for line in lines)]


def _row(cells: Sequence[str], headers: Sequence[str], widths: Sequence[int], right: Sequence[str], style: str) -> str:
    parts = []
    for cell, header, width in zip(cells, headers, widths, strict=True):
        aligned = cell.rjust(width) if header in right else cell.ljust(width)
        parts.append(styled(aligned, cell) if header == style else aligned)
    text = "  ".join(parts).rstrip()
    return styled(text, style) if style == "bold" else text


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def cut(text: str, width: int) -> str:
    """The first line of a text, at most `width` characters."""
    line = text.split("\n", 1)[0]
    return line if len(line) <= width else line[: max(width - 3, 0)] + "..."


def terminal_width() -> int:
    """Columns of the terminal, 100 where there is none."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns
