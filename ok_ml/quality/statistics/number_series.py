"""Numbers by day: the one shape of every table that is watched over time.

A partition of such a table is one day. A row is one number of that day: `metric` names it, `group` says of what (a segment,
a model, a column; empty: of everything), `n` is how many rows it was counted on, so that chance can be distinguished from change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from ok_ml.lake import Lake

METRIC: Final = "metric"
GROUP: Final = "group"
VALUE: Final = "value"
N: Final = "n"
_RAW: Final = "raw_events"  # of a simulated network; its record tells which lists were served


class Name(NamedTuple):
    """What a series is called: a metric, and of what."""

    metric: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.metric} of {self.group}" if self.group else self.metric


@dataclass(frozen=True)
class Number:
    """One number of one day.

    Attributes
    ----------
    value
        None where there is nothing to tell.
    n
        Rows that it was counted on.
    """

    name: Name
    value: float | None
    n: int = 0


@dataclass(frozen=True)
class Series:
    """One number by day; days without it are left out.

    Attributes
    ----------
    dts
        ISO dates, ascending.
    values, n
        As long as `dts`; a value may be None.
    """

    name: Name
    dts: tuple[str, ...]
    values: tuple[float | None, ...]
    n: tuple[int, ...]


def series_table(numbers: Iterable[Number]) -> "pa.Table":
    """The rows of one day, sorted by name.

    Returns
    -------
    pa.Table
        metric string, group string, value float64 (nullable), n int64.

    Raises
    ------
    ValueError
        Two numbers have one name.
    """
    import pyarrow as pa

    ordered = sorted(numbers, key=lambda one: one.name)
    if len({one.name for one in ordered}) != len(ordered):
        raise ValueError("two numbers of one day have one name")
    return pa.table(
        {
            METRIC: pa.array([one.name.metric for one in ordered], pa.string()),
            GROUP: pa.array([one.name.group for one in ordered], pa.string()),
            VALUE: pa.array([one.value for one in ordered], pa.float64()),
            N: pa.array([one.n for one in ordered], pa.int64()),
        }
    )


def numbers_of(table: "pa.Table") -> dict[Name, Number]:
    """The numbers of one day's rows."""
    rows = zip(*(table[name].to_pylist() for name in (METRIC, GROUP, VALUE, N)), strict=True)
    return {Name(metric, group): Number(Name(metric, group), value, n) for metric, group, value, n in rows}


def regimes_of(lake: "Lake", scope: str, dts: "Sequence[str]") -> dict[str, str]:
    """Day of a simulated network on which lists were served -> "served": people who are served behave otherwise than before.

    What `bands.judge_day` takes as regimes; days of a real log have none.
    """
    raw = {dt: lake.find(scope, _RAW, dt) for dt in dts}
    return {dt: "served" for dt, one in raw.items() if one is not None and one.inputs.get("served", "none") != "none"}


def read_days(lake: "Lake", scope: str, table: str, dts: Sequence[str]) -> dict[str, dict[Name, Number]]:
    """Day -> its numbers, for those of some days that are committed. The numbers of a day are shared: they are not to be changed."""
    manifests = {dt: lake.find(scope, table, dt) for dt in dts}
    return {dt: _numbers_in(lake.folder(one), one.files) for dt, one in manifests.items() if one is not None}


@lru_cache(maxsize=1_000)  # days
def _numbers_in(folder: "Path", files: tuple[str, ...]) -> dict[Name, Number]:
    """The numbers of a version, read once: a version never changes, and every look at a day asks for the same weeks."""
    import pyarrow.parquet as pq

    return numbers_of(pq.read_table([str(folder / name) for name in files], partitioning=None))


def as_series(days: dict[str, dict[Name, Number]]) -> dict[Name, Series]:
    """The same numbers, by name."""
    names = sorted({name for numbers in days.values() for name in numbers})
    dts = sorted(days)
    return {name: _one(name, [(dt, days[dt][name]) for dt in dts if name in days[dt]]) for name in names}


def _one(name: Name, numbers: list[tuple[str, Number]]) -> Series:
    return Series(
        name, tuple(dt for dt, _ in numbers), tuple(one.value for _, one in numbers), tuple(one.n for _, one in numbers)
    )
