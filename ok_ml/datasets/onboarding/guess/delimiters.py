"""What stands between the fields of a text, and whether its first line names them.

clevercsv finds every mark of one letter too, in four times the time, and takes ``::``, ``||``, ``|~|`` and ``^A`` for their first letter.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from ok_ml.config.models import BLANKS
from ok_ml.datasets.formats.delimited import STAND_IN, with_stand_in
from ok_ml.datasets.onboarding.guess import words

_USUAL: Final = (",", "\t", ";", "|")
_CONTROLS: Final = ("\x01", "\x1f", "\x1e", "\x02", "\x14")
_SELDOM: Final = (" ", BLANKS, ":", "^", "~", "¦", "§", "!", "#", "^A", "@")
_RUN: Final = re.compile(r"[:|~^;,#@$&*!%§¦=_<>\t]{2,6}")
_GOOD: Final = 0.9
_VALUE: Final = re.compile(r"[+-]?\d[\d.,:/ TZeE+-]*|\d{1,4}[./-].*|null|nan|true|false|\\N|", re.IGNORECASE)
_LONGEST_NAME: Final = 100


class Cut(NamedTuple):
    """A way to cut lines.

    Attributes
    ----------
    share
        Of the lines, those with the most frequent number of fields, which is `width`.
    first_too
        Whether the first line has that many too.
    """

    mark: str
    quoting: bool
    share: float
    width: int
    first_too: bool


def rows_of(lines: list[str], mark: str, *, quoting: bool) -> list[list[str]]:
    """The fields of some lines, each with its line feed, as the reader will cut them."""
    text = with_stand_in("".join(lines).encode(), mark).decode()
    one, shown = (mark, mark) if len(mark) == 1 and mark.isascii() else (STAND_IN, " " if mark == BLANKS else mark)
    ended = (line + "\n" for line in text.removesuffix("\n").split("\n"))
    rows = csv.reader(ended, delimiter=one, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE)
    return [[cell.replace(STAND_IN, shown) for cell in row] for row in rows]


def best_cut(lines: list[str]) -> Cut | None:
    """How the lines are cut; None if in no way that most of them agree on.

    Of what cuts nine lines in ten alike blanks and single signs come last, since the colons of a clock cut every line too;
    and ``::`` is no ``:`` with empty columns between.
    """
    marks = [*_USUAL, *_CONTROLS, *_runs(lines), *_SELDOM]
    cuts = [cut for quoting in (True, False) for mark in marks if (cut := _cut(lines, mark, quoting=quoting)).width > 1]
    for tier in ((*_USUAL, *_CONTROLS, *_runs(lines)), _SELDOM):
        good = [cut for cut in cuts if cut.mark in tier and cut.share >= _GOOD and not _is_part(cut, cuts)]
        if good:
            return max(good, key=_rank)
    usual = [cut for cut in cuts if cut.mark in _USUAL and cut.share >= 0.5]
    return max(usual, key=_rank, default=None)


def _rank(cut: Cut) -> tuple[float, bool, int, bool, bool]:
    # The line of names knows no decimal commas: a mark that cuts it as it cuts the others is the better one.
    return (round(cut.share, 2), cut.first_too, cut.width, cut.mark in _USUAL, cut.quoting)


def _runs(lines: list[str]) -> list[str]:
    """Signs that stand together on nearly every line."""
    counted = Counter(run for line in lines for run in set(_RUN.findall(line)))
    return [run for run, count in counted.most_common(8) if count >= _GOOD * len(lines)]


def _is_part(cut: Cut, cuts: list[Cut]) -> bool:
    """Whether the mark stands nowhere but within a longer one."""
    return any(
        cut.mark != other.mark
        and cut.mark in other.mark
        and other.mark != BLANKS
        and cut.width - 1 == other.mark.count(cut.mark) * (other.width - 1)
        and other.share >= cut.share
        for other in cuts
    )


def _cut(lines: list[str], mark: str, *, quoting: bool) -> Cut:
    try:
        widths = [len(row) for row in rows_of(lines, mark, quoting=quoting) if row]
    except csv.Error:
        widths = []
    if not widths:
        return Cut(mark, quoting, 0.0, 0, first_too=False)
    width, count = Counter(widths).most_common(1)[0]
    return Cut(mark, quoting, count / len(widths), width, widths[0] == width)


# -- names -----------------------------------------------------------------------------------------------------------


def names_in(rows: list[list[str]], width: int) -> list[str] | None:
    """The names that the first row has; None if it is a row like the others.

    Names are no values: where the rows below hold numbers and times the first one does not, and its words do not come again
    below. Whatever signs they have, and some may be missing.
    """
    first = [cell.strip() for cell in rows[0]]
    if len(first) not in (width, width - 1) or not any(first) or any(len(cell) > _LONGEST_NAME for cell in first):
        return None
    below = [row for row in rows[1:] if len(row) == width]
    columns = [[row[place + width - len(first)].strip() for row in below] for place in range(len(first))]
    pairs = list(zip(first, columns, strict=True))
    if any(cell and _VALUE.fullmatch(cell) and _mostly_values(column) for cell, column in pairs):
        return None
    if any(not _VALUE.fullmatch(cell) and _mostly_values(column) for cell, column in pairs):
        return rows[0]
    named = any(words.is_known(cell) for cell in first)
    again = any(cell in column for cell, column in pairs if cell)
    return None if again or len(set(first)) < len(first) or (below and not named and len(below) < 3) else rows[0]


def _mostly_values(column: Iterable[str]) -> bool:
    filled = [cell for cell in column if cell]
    return bool(filled) and sum(bool(_VALUE.fullmatch(cell)) for cell in filled) >= _GOOD * len(filled)
