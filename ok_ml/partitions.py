"""The calendar: which committed partitions a window, a label or a cut means.

A partition is an ISO date string, so that strings sort as dates. A month-grained dataset uses each month's first day.
Only committed partitions count: a calendar with a hole skips it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Final, SupportsInt

from ok_ml.errors import DataError

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class LabelWindow:
    """Partitions of labels that share one fit of the embeddings.

    Attributes
    ----------
    label_dts
        Partitions whose events label training rows, ascending.
    cut
        The partition before the first of them: embeddings learn up to its end.
    """

    label_dts: tuple[str, ...]
    cut: str


@dataclass(frozen=True)
class TrainingCalendar:
    """Which partitions train, evaluate and serve.

    Attributes
    ----------
    windows
        Labels of the training rows, oldest window first.
    eval_dts
        The newest partitions, never trained on.
    eval_cut
        The partition before the first of them.
    serve_cut
        The newest partition.
    """

    windows: tuple[LabelWindow, ...]
    eval_dts: tuple[str, ...]
    eval_cut: str
    serve_cut: str

    @property
    def label_dts(self) -> tuple[str, ...]:
        """All partitions of labels, ascending."""
        return tuple(dt for window_ in self.windows for dt in window_.label_dts)

    def window_of(self, feature_dt: str) -> LabelWindow:
        """The window whose labels follow a day of features: the newest one that was fitted by then."""
        return max((known for known in self.windows if known.cut <= feature_dt), key=lambda known: known.cut)


def day_of(dt: str) -> int:
    """Days from 1970-01-01 to an ISO date."""
    return (date.fromisoformat(dt) - _EPOCH).days


def iso_of(day: SupportsInt) -> str:
    """The ISO date of a day since 1970-01-01."""
    return (_EPOCH + timedelta(days=int(day))).isoformat()


def partition_days(dt: str, grain: str) -> int:
    """The partition that holds an ISO date, as days since 1970-01-01."""
    return day_of(f"{dt[:7]}-01" if grain == "month" else dt)


def last_day(day: int, grain: str) -> int:
    """The last day of the partition that begins with `day`, both as days since 1970-01-01."""
    return day_of(_after(_EPOCH + timedelta(days=day), grain).isoformat()) - 1


def _after(first: date, grain: str) -> date:
    """The first day after the partition that begins with `first`."""
    return (first.replace(day=1) + timedelta(days=32)).replace(day=1) if grain == "month" else first + timedelta(days=1)


def minus_days(dt: str, days: int) -> str:
    """The date `days` before `dt`."""
    return (date.fromisoformat(dt) - timedelta(days=days)).isoformat()


def window(dts: Sequence[str], end: str, days: int) -> list[str]:
    """Partitions of the `days` days that end with `end`: end - days < dt <= end."""
    start = minus_days(end, days)
    return sorted(dt for dt in dts if start < dt <= end)


def run_start(dt: str, earlier: Iterable[str], still: Callable[[str], bool]) -> str:
    """First day of the unbroken run of days that ends with `dt`: since when something is the case.

    Parameters
    ----------
    earlier
        Days before `dt`, newest first; they are looked at only as far as the run goes.
    still
        Whether it was the case on a day.
    """
    return [dt, *takewhile(still, earlier)][-1]


def before(dts: Sequence[str], dt: str) -> str:
    """The committed partition just before `dt`.

    Raises
    ------
    DataError
        There is none.
    """
    earlier = [other for other in dts if other < dt]
    if not earlier:
        raise DataError(
            f"no committed partition before {dt} (committed: {_span(dts)})",
            why="a row labelled on a day needs the features of the day before it",
            remedy="commit an earlier partition, or shorten training_set.label_days",
        )
    return max(earlier)


def training_calendar(dts: Sequence[str], label_days: int, evaluation_days: int, windows: int = 1) -> TrainingCalendar:
    """Split the newest days into labels and evaluation.

    The evaluation partitions are those of the last `evaluation_days` days, the labels those of the `label_days` days
    before them, and again before those, `windows` times; every cut is the partition just before what it must not see.

    Raises
    ------
    DataError
        The history is too short.
    """
    ordered = sorted(dts)
    if not ordered:
        raise DataError(
            "no committed partition at all",
            why="there is nothing to learn from",
            remedy="ingest some days first, e.g. `ok-ml run`",
        )
    serve_cut = ordered[-1]
    eval_dts = window(ordered, serve_cut, evaluation_days)
    eval_cut = before(ordered, eval_dts[0])
    fitted: list[LabelWindow] = []
    for _ in range(windows):
        label_dts = window(ordered, fitted[-1].cut if fitted else eval_cut, label_days)
        fitted.append(LabelWindow(tuple(label_dts), before(ordered, label_dts[0])))
    return TrainingCalendar(tuple(reversed(fitted)), tuple(eval_dts), eval_cut, serve_cut)


def partitions_to_add(known: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """What to add to a list of partitions that keeps the order of insertion, so that it stays ascending.

    A range of partitions is a slice of that list: a day that was appended after later ones would fall out of every
    range without a word. So a late day takes all known ones out first.

    Returns
    -------
    Partitions to add, in order; partitions to remove before.
    """
    fresh = sorted(set(wanted) - set(known))
    if not fresh:
        return [], []
    in_order = list(known) == sorted(known) and (not known or fresh[0] > known[-1])
    return (fresh, []) if in_order else (sorted({*known, *fresh}), list(known))


def _span(dts: Sequence[str]) -> str:
    return f"{min(dts)} .. {max(dts)}, {len(dts)} in all" if dts else "none"


def end_seconds(dt: str, grain: str) -> float:
    """When a partition is over: Unix time, seconds, of the midnight (UTC) after its last day. Raises ValueError if it is no date."""
    after = _after(date.fromisoformat(dt), grain)
    return datetime(after.year, after.month, after.day, tzinfo=UTC).timestamp()
