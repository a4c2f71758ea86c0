"""The tiny language of `drop_if`: which raw rows a mapping sets aside.

One or more comparisons joined by ``and``, each ``<raw column> <operator> <literal>``::

    sales_value <= 0
    status == "test" and attempts > 3
    product_type is null
    store_id in (1, 2, 99)

Operators: ``< <= > >= == !=``, ``in (...)``, ``is null``, ``is not null``. A literal is a number, a text in single or
double quotes, ``true`` or ``false``. A column name that is not a plain word stands in back quotes. A null never meets a
comparison. Nothing is evaluated as code.
"""

import re
from dataclasses import dataclass
from typing import Final

Literal = int | float | str | bool

_COLUMN = r"(?:`(?P<quoted>[^`]+)`|(?P<plain>[A-Za-z_][\w.]*))"
_COMPARISON: Final = re.compile(rf"\s*{_COLUMN}\s*(?P<operator><=|>=|==|!=|<|>)\s*(?P<value>.+?)\s*", re.DOTALL)
_MEMBERSHIP: Final = re.compile(rf"\s*{_COLUMN}\s+in\s*\((?P<values>.*)\)\s*", re.DOTALL)
_NULL: Final = re.compile(rf"\s*{_COLUMN}\s+is\s+(?P<negated>not\s+)?null\s*")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_OUTSIDE_QUOTES = r"(?=(?:[^'\"`]|'[^']*'|\"[^\"]*\"|`[^`]*`)*\Z)"
_AND: Final = re.compile(r"\s+and\s+" + _OUTSIDE_QUOTES)
_COMMA: Final = re.compile("," + _OUTSIDE_QUOTES)
_FORM = 'expected `column operator literal` (sales_value <= 0, status == "test", kind in (1, 2), name is null), joined by `and`'


@dataclass(frozen=True)
class Comparison:
    """One comparison of a raw column.

    Attributes
    ----------
    operator
        ``< <= > >= == !=``, ``in``, ``is null`` or ``is not null``.
    values
        The literals: one for a comparison, any number for ``in``, none for ``is null``.
    """

    column: str
    operator: str
    values: tuple[Literal, ...] = ()


def parse_condition(text: str) -> tuple[Comparison, ...]:
    """The comparisons of a condition, all of which must hold.

    Raises
    ------
    ValueError
        The text is not a condition of this language.
    """
    return tuple(_comparison(piece, text) for piece in _AND.split(text))


def _comparison(piece: str, whole: str) -> Comparison:
    if match := _NULL.fullmatch(piece):
        return Comparison(_name(match), "is not null" if match["negated"] else "is null")
    if match := _MEMBERSHIP.fullmatch(piece):
        return Comparison(_name(match), "in", tuple(_literal(value, whole) for value in _COMMA.split(match["values"])))
    if match := _COMPARISON.fullmatch(piece):
        return Comparison(_name(match), match["operator"], (_literal(match["value"], whole),))
    raise ValueError(f"{whole!r} is not a condition: {_FORM}")


def _name(match: re.Match[str]) -> str:
    return match["quoted"] or match["plain"]


def _literal(text: str, whole: str) -> Literal:
    word = text.strip()
    if len(word) >= 2 and word[0] == word[-1] and word[0] in "'\"" and word[0] not in word[1:-1]:
        return word[1:-1]
    if word in ("true", "false"):
        return word == "true"
    if _NUMBER.fullmatch(word):
        return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
    raise ValueError(f"{word!r} in {whole!r} is not a number, true, false or a quoted text: {_FORM}")
