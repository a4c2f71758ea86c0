"""Which raw rows are set aside, and why: the first reason that fits a row is its reason."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.sections.row_conditions import Comparison, parse_condition
from ok_ml.datasets.conversion.cells import flat, mask_of, numbers
from ok_ml.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNREADABLE: Final = "unreadable_line"
_COMPARE: Final = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "==": pc.equal,
    "!=": pc.not_equal,
}


class Sieve:
    """Collects reasons for the rows of one raw table.

    Parameters
    ----------
    rows
        How many rows the table has.
    """

    def __init__(self, rows: int) -> None:
        self._codes = np.zeros(rows, np.int16)  # 0: passed; else 1 + index into _reasons
        self._reasons: list[str] = []
        self._items: list[tuple[NDArray[np.int64], str]] = []

    def reject(self, mask: "NDArray[np.bool_]", reason: str) -> None:
        """Set the rows of a bool mask aside, unless they already have a reason."""
        if mask.any() and (fresh := mask & (self._codes == 0)).any():
            if reason not in self._reasons:
                self._reasons.append(reason)
            self._codes[fresh] = 1 + self._reasons.index(reason)

    def reject_items(self, rows: "NDArray[np.int64]", reason: str) -> None:
        """Count something within rows that stay themselves: an item of a list, once for each row index given."""
        if len(rows):
            self._items.append((rows, reason))

    @property
    def kept(self) -> "NDArray[np.bool_]":
        """Mask of the rows without a reason."""
        return np.equal(self._codes, 0)

    def counts(self) -> dict[str, int]:
        """How many rows were set aside, by reason."""
        counted = Counter(dict(zip(self._reasons, np.bincount(self._codes)[1:].tolist(), strict=False)))
        for rows, reason in self._items:
            counted[reason] += len(rows)
        return dict(sorted(counted.items()))

    def rejections(self) -> "tuple[NDArray[np.int64], list[str]]":
        """Row index and reason of everything that was set aside: rows ascending, then items of rows that stay."""
        rows = np.flatnonzero(self._codes)
        reasons = [self._reasons[code - 1] for code in self._codes[rows]]
        for rejected, reason in self._items:
            rows, reasons = np.concatenate([rows, rejected]), [*reasons, *[reason] * len(rejected)]
        return rows, reasons


def drop_conditions(sieve: Sieve, table: pa.Table, drop_if: dict[str, str], key: str) -> None:
    """Apply the conditions of `drop_if`, in the order in which they stand.

    Raises
    ------
    ConfigError
        A condition is malformed, or does not fit the type of its column.
    """
    for reason, text in drop_if.items():
        sieve.reject(met_by(table, text, f"{key}.drop_if.{reason}"), reason)


def met_by(table: pa.Table, condition: str, key: str) -> "NDArray[np.bool_]":
    """Mask of the rows that meet a condition.

    Raises
    ------
    ConfigError
        It is malformed, or does not fit the type of its column.
    """
    try:
        comparisons = parse_condition(condition)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}", remedy="correct the condition") from error
    met = np.ones(table.num_rows, bool)
    for comparison in comparisons:
        met &= _met(flat(table[comparison.column]), comparison, key)
    return met


def condition_columns(drop_if: dict[str, str]) -> list[str]:
    """The raw columns that conditions read."""
    return [comparison.column for text in drop_if.values() for comparison in parse_condition(text)]


def raw_json(table: pa.Table, rows: "NDArray[np.int64]") -> list[str]:
    """Raw rows as JSON texts, one object a row; times as ISO text."""
    chosen = table.take(pa.array(rows)) if len(rows) else table.slice(0, 0)
    columns = {name: _jsonable(chosen[name]) for name in chosen.column_names}
    return [
        orjson.dumps(dict(zip(columns, row, strict=True)), default=str).decode()
        for row in zip(*columns.values(), strict=True)
    ]


def first_examples(table: pa.Table, rows: "NDArray[np.int64]", reasons: list[str]) -> dict[str, str]:
    """Reason -> the first raw row that was set aside for it, as JSON."""
    first = {reason: int(row) for row, reason in zip(rows[::-1], reasons[::-1], strict=True)}
    return dict(zip(first, raw_json(table, np.array([*first.values()], np.int64)), strict=True))


def unreadable_json(lines: Iterable[str]) -> list[str]:
    """Lines that were no rows, as JSON texts."""
    return [orjson.dumps({"line": line}).decode() for line in lines]


def _jsonable(column: pa.ChunkedArray) -> list[Any]:
    plain = flat(column)
    values: list[Any] = (plain.cast(pa.string()) if pa.types.is_temporal(plain.type) else plain).to_pylist()
    return values


def _met(column: pa.Array, comparison: Comparison, key: str) -> "NDArray[np.bool_]":
    if comparison.operator in ("is null", "is not null"):
        null = mask_of(column.is_null())
        return null if comparison.operator == "is null" else ~null
    operator = "==" if comparison.operator == "in" else comparison.operator
    met = np.zeros(len(column), bool)
    for value in comparison.values:
        left, right = _alike(column, value, key)
        met |= mask_of(_COMPARE[operator](left, right))
    return met


def _alike(column: pa.Array, value: float | str | bool, key: str) -> tuple[pa.Array, pa.Scalar]:  # noqa: FBT001
    """The column and the literal as types that compare; text columns are read as numbers next to a number."""
    kind = column.type
    textual = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if isinstance(value, str) and textual:
        return column, pa.scalar(value, kind)
    if isinstance(value, str) and pa.types.is_temporal(kind):
        return column, _moment(value, kind, key)
    if isinstance(value, bool) and pa.types.is_boolean(kind):
        return column, pa.scalar(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return column, pa.scalar(value)
        if textual:
            return numbers(column), pa.scalar(float(value))
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.float64()), pa.scalar(0.0)
    raise _unlike(value, kind, key)


def _moment(value: str, kind: pa.DataType, key: str) -> pa.Scalar:
    try:
        return pa.scalar(value).cast(kind)
    except pa.ArrowInvalid as error:
        raise _unlike(value, kind, key) from error


def _unlike(value: object, kind: pa.DataType, key: str) -> ConfigError:
    return ConfigError(
        f"{key}: {value!r} cannot be compared with a column of {kind}",
        why="the condition would never hold, and dirty rows would pass",
        remedy="quote texts, do not quote numbers, and name the right column",
    )
