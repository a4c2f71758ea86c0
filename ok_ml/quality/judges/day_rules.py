"""The rules of a dataset's day, from `checks` of its YAML; see `ok_ml.config.sections.check_models`."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.models import NULLABLE, TABLE_OF_CATEGORY, Categories, DatasetConfig, Severity
from ok_ml.datasets.conversion.mapping import REPEATED
from ok_ml.lake import Lake
from ok_ml.partitions import before
from ok_ml.quality.judges.committed_day import FEATURE_KEYS, NONE, SNAPSHOT_KEYS, Day, Table, declared_columns, read_day
from ok_ml.quality.judges.rules import Rule

# kinds of rules, as the checks in the UI are called
VOLUME: Final = "volume"
COLUMNS: Final = "columns"
CATEGORIES: Final = "categories"
NULL_SHARES: Final = "null_shares"
UNIQUENESS: Final = "uniqueness"
DATA_TIME: Final = "data_time"
KINDS: Final = {
    COLUMNS: "Columns and types are as declared.",
    VOLUME: "Rows against the same weekday of the weeks before.",
    CATEGORIES: "Categories are among the allowed ones; required ones occur.",
    NULL_SHARES: "Nulls by column stay within their limits.",
    UNIQUENESS: "No key stands twice; few rows come repeated.",
    DATA_TIME: "The newest day is complete up to its end and follows the day before.",
}
_MOST_WORDS: Final = 20
_SECONDS: Final = 3600.0
_LATELY_DAYS: Final = 28  # partitions that tell what is normal for a log
_OFTEN: Final = 3  # times
_MARGIN: Final = 1.25  # of what it did


@dataclass(frozen=True)
class History:
    """Rows of the tables on the days that a day is compared with.

    Attributes
    ----------
    usual
        Rows of the events on the same weekday of the weeks before, newest first.
    previous
        The partition before, and rows of each table on it; None at the beginning.
    quiet_hours, missing
        The longest time without an event at the end of a day, and the most partitions missing in a row, in the weeks before:
        what is normal for this log, as a shop that closes does, is no finding.
    """

    usual: tuple[tuple[str, int], ...] = ()
    previous: tuple[str, Mapping[str, int]] | None = None
    quiet_hours: float = 0.0
    missing: int = 0


def read(config: DatasetConfig, lake: Lake, dt: str, leave_out: Collection[str] = ()) -> tuple[Day, History]:
    """What the rules of one day need; days to leave out are none that it is compared with."""
    words: dict[str, str] = {name: TABLE_OF_CATEGORY[name] for name in config.checks.categories}
    return read_day(lake, config.dataset, dt, words, SNAPSHOT_KEYS), _history(config, lake, dt, leave_out)


def day_rules(
    config: DatasetConfig, day: Day, history: History, *, now: datetime | None = None
) -> dict[str, list[Rule]]:
    """Kind -> the rules of a day.

    Parameters
    ----------
    now
        The wall clock, for the age of the newest partition; default: the present.
    """
    return {
        COLUMNS: list(column_rules(day.tables, config.checks.columns)),
        VOLUME: [*_volume(config, day, history), *_snapshot_volume(config, day, history)],
        CATEGORIES: list(_categories(config, day)),
        NULL_SHARES: list(_null_shares(config, day)),
        UNIQUENESS: [*key_rules(day.tables, config.checks.keys), *_repeated(config, day)],
        DATA_TIME: list(_data_time(config, day, history, now or datetime.now(UTC))),
    }


# -- columns and keys, of datasets and of experiments ------------------------------------------------------------------


def column_rules(
    tables: Mapping[str, Table], severity: Severity, features: Mapping[str, tuple[str, ...]] | None = None
) -> Iterator[Rule]:
    """One rule a table: its columns and types are those declared. A table without a file has none to judge."""
    for name, table in tables.items():
        wanted = declared_columns(name, (features or {}).get(name, ()))
        if table.columns:
            seen = tuple(f"{column} {kind}" for column, kind in table.columns.items())
            missing = [f"{column} missing" for column in wanted if column not in table.columns]
            allowed = tuple(f"{column} {kind}" for column, kind in wanted.items())
            wrong = [*missing, *(word for word in seen if word not in allowed)]
            expected = [
                f"{column} {wanted[column]}" for column in (word.split()[0] for word in wrong) if column in wanted
            ]
            yield Rule(
                name,
                "",
                "columns",
                (*seen, *missing),
                severity,
                allowed=allowed,
                about=name,
                shown=", ".join(wrong) or f"{len(seen)} columns",
                expected=", ".join(expected) or f"those {len(allowed)} declared",
                advice="see which version of the code wrote it; make the partition again",
            )


def key_rules(tables: Mapping[str, Table], severity: Severity) -> Iterator[Rule]:
    """One rule a table with a key: no key stands twice."""
    for name, table in tables.items():
        keys = SNAPSHOT_KEYS.get(name) or FEATURE_KEYS.get(name)
        if keys:
            yield Rule(
                name,
                " and ".join(keys),
                "repeated_keys",
                table.repeated,
                severity,
                high=0,
                about=f"{name} by {' and '.join(keys)}",
                note=f" of {table.rows:,} rows",
                advice="look for files that were delivered or written twice",
            )


# -- volume ----------------------------------------------------------------------------------------------------------


def _history(config: DatasetConfig, lake: Lake, dt: str, leave_out: Collection[str]) -> History:
    known = lake.partitions(config.dataset, c.EVENTS)
    there = [other for other in known if other < dt]
    earlier = [other for other in there if other not in leave_out]
    if not earlier:
        return History()
    weeks = config.checks.volume.weeks
    if config.partition.grain == "month":
        wanted = earlier[::-1][:weeks]
    else:
        day = date.fromisoformat(dt)
        wanted = [(day - timedelta(days=7 * week)).isoformat() for week in range(1, weeks + 1)]
        wanted = [other for other in wanted if other in set(earlier)] or earlier[::-1][:6]
    usual = tuple((other, lake.manifest(config.dataset, c.EVENTS, other).rows) for other in wanted)
    previous = before(known, dt)
    rows = {
        name: snapshot.rows
        for name in c.SNAPSHOTS
        if (snapshot := lake.find(config.dataset, name, previous)) is not None
    }
    lately = earlier[-_LATELY_DAYS:]
    quiet = [_quiet_hours(config, one, lake.manifest(config.dataset, c.EVENTS, one).details) or 0.0 for one in lately]
    missing = [_steps(config, one, other) - 1 for one, other in pairwise(there[-_LATELY_DAYS:])]
    often = sorted(missing, reverse=True)[_OFTEN - 1 : _OFTEN]  # a single gap is none of its habits
    return History(usual, (previous, rows), max(quiet, default=0.0), max(often, default=0))


def _volume(config: DatasetConfig, day: Day, history: History) -> Iterator[Rule]:
    limits, table = config.checks.volume, day.tables.get(c.EVENTS)
    if table is None or not history.usual:
        return
    usual = median(rows for _, rows in history.usual)
    days = ", ".join(dt for dt, _ in sorted(history.usual))
    note = f" (usual: {usual:,.0f}, the median of {days})"
    ratios = [rows / max(usual, 1) for _, rows in history.usual]  # a log whose weeks differ by themselves is given room
    high_warn = None if limits.high_warn is None else max(limits.high_warn, _MARGIN * max(ratios))
    pairs: tuple[tuple[Severity, float, float | None], ...] = (
        ("block", limits.low_block, limits.high_block),
        ("warn", min(limits.low_warn, min(ratios) / _MARGIN), high_warn),
    )
    for severity, low, high in pairs:
        if low or high is not None:
            yield Rule(
                c.EVENTS,
                "",
                "rows",
                table.rows,
                severity,
                low=low * usual,
                high=None if high is None else high * usual,
                about=c.EVENTS,
                note=note,
                shown=f"{table.rows:,}",
                expected=_expected_rows(low, high, usual),
                advice="see whether the day's files are all there, and none twice",
            )


def _expected_rows(low: float, high: float | None, usual: float) -> str:
    if high is None:
        return f">= {low * usual:,.0f} ({low:g} of it)"
    return f"{low * usual:,.0f} .. {high * usual:,.0f} ({low:g} .. {high:g} of it)"


def _snapshot_volume(config: DatasetConfig, day: Day, history: History) -> Iterator[Rule]:
    low = config.checks.volume.snapshots_low_warn
    previous, rows = history.previous or ("", {})
    for name in c.SNAPSHOTS:
        table, then = day.tables.get(name), rows.get(name, 0)
        if table is not None and then and low:
            yield Rule(
                name,
                "",
                "rows",
                table.rows,
                "warn",
                low=low * then,
                about=name,
                shown=f"{table.rows:,}",
                note=f" ({then:,} on {previous})",
                expected=f">= {low * then:,.0f} ({low:g} of it)",
                advice="see whether the snapshot's files are all there",
            )


# -- contents --------------------------------------------------------------------------------------------------------


def _categories(config: DatasetConfig, day: Day) -> Iterator[Rule]:
    for column, counts in day.words.items():
        declared, table = config.checks.categories[column], TABLE_OF_CATEGORY[column]  # type: ignore[index]
        yield from _words(column, table, counts, declared)


def _words(column: str, table: str, counts: Mapping[str, int], declared: Categories) -> Iterator[Rule]:
    about, total = f"{table} column {column}", max(sum(counts.values()), 1)
    seen = [word for word in counts if word != NONE]
    if declared.allowed and seen:
        new = sorted((word for word in seen if word not in declared.allowed), key=lambda word: -counts[word])
        told = [f"{word!r} ({counts[word]:,} rows, {counts[word] / total:.1%})" for word in new]
        yield Rule(
            table,
            column,
            "categories",
            tuple(seen),
            declared.severity,
            allowed=declared.allowed,
            about=about,
            shown=_listed(told) if told else f"{len(seen)} words",
            expected=f"one of {_listed(list(declared.allowed))}",
            advice=f"map it in the dataset's YAML, or allow it in checks.categories.{column}",
        )
    for word in declared.required:
        yield Rule(
            table,
            column,
            f"rows of {word}",
            counts.get(word, 0),
            declared.severity,
            low=1,
            about=about,
            advice="see whether whoever logs it has stopped, or calls it something else now",
        )


def _null_shares(config: DatasetConfig, day: Day) -> Iterator[Rule]:
    """Declared limits of columns that may be null; the others never are."""
    advice = "see which of the day's files lack it, and whether its raw column was renamed"
    for name, limits in config.checks.null_share.items():
        table, column = name.rsplit(".", 1) if "." in name else (c.EVENTS, name)
        if table not in day.tables:
            continue
        share, about = day.tables[table].null_share(column), f"{table} column {column}"
        pairs: tuple[tuple[Severity, float | None], ...] = (("block", limits.block), ("warn", limits.warn))
        for severity, high in pairs:
            if high is not None:
                yield Rule(table, column, "null_share", share, severity, high=high, about=about, advice=advice)
    for table in day.tables.keys() & _never_null().keys():
        for column in _never_null()[table]:
            share = day.tables[table].null_share(column)
            yield Rule(
                table, column, "null_share", share, "block", high=0, about=f"{table} column {column}", advice=advice
            )


def _never_null() -> dict[str, list[str]]:
    return {
        table: [name for name in declared_columns(table) if name not in NULLABLE.get(table, ())]
        for table in (c.EVENTS, *c.SNAPSHOTS)
    }


def _repeated(config: DatasetConfig, day: Day) -> Iterator[Rule]:
    """Rows that `unique_by` set aside: a message sent twice now and then is usual, a day sent twice is not."""
    events = day.tables.get(c.EVENTS)
    if not config.events.unique_by or events is None:
        return
    aside = day.details.get("rejected", {})
    raw = events.rows + sum(aside.values())
    share, about = aside.get(REPEATED, 0) / max(raw, 1), f"{c.EVENTS} by {' and '.join(config.events.unique_by)}"
    limits = config.checks.repeated
    pairs: tuple[tuple[Severity, float | None], ...] = (("block", limits.block), ("warn", limits.warn))
    for severity, high in pairs:
        if high is not None:
            yield Rule(
                c.EVENTS,
                " and ".join(config.events.unique_by),
                "repeated_share",
                share,
                severity,
                high=high,
                about=about,
                note=f" of {raw:,} raw rows",
                advice="see whether files of that day came twice",
            )


# -- time ------------------------------------------------------------------------------------------------------------


def _data_time(config: DatasetConfig, day: Day, history: History, now: datetime) -> Iterator[Rule]:
    limits, end = config.checks.data_time, _end(config, day.dt)
    hours = _quiet_hours(config, day.dt, day.details)
    if hours is not None and limits.quiet_hours is not None:
        last = end - timedelta(hours=hours)
        yield Rule(
            c.EVENTS,
            c.EVENT_TIME,
            "hours_without_events",
            hours,
            limits.severity,
            low=0,
            high=max(limits.quiet_hours, _MARGIN * history.quiet_hours),
            about=c.EVENTS,
            note=f" at its end (the newest is of {last:%Y-%m-%d %H:%M} UTC)",
            shown=f"{hours:.1f}",
            advice="the day was cut short: ingest it again when its files are complete",
        )
    if history.previous is not None and limits.missing is not None:
        missing = _steps(config, history.previous[0], day.dt) - 1
        yield Rule(
            c.EVENTS,
            "",
            "missing_partitions",
            missing,
            limits.severity,
            high=max(limits.missing, history.missing),
            about=c.EVENTS,
            note=f" between {history.previous[0]} and this one",
            advice="see whether the deliveries between are on their way",
        )
    if limits.max_age_hours is not None:
        age = (now - end).total_seconds() / _SECONDS
        yield Rule(
            c.EVENTS,
            c.EVENT_TIME,
            "age_hours",
            age,
            limits.severity,
            high=limits.max_age_hours,
            about=c.EVENTS,
            shown=f"{age:.1f}",
            note=" (it is the newest partition)",
            advice="see why newer days do not come",
        )


def _quiet_hours(config: DatasetConfig, dt: str, details: Mapping[str, Any]) -> float | None:
    """Hours between the newest event of a day and its end; None of months, or where nothing is known."""
    newest = details.get("max_event_time")
    if newest is None or config.partition.grain != "day":
        return None
    return (_end(config, dt) - datetime.fromisoformat(newest)).total_seconds() / _SECONDS


def _end(config: DatasetConfig, dt: str) -> datetime:
    start = date.fromisoformat(dt)
    after = (
        (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        if config.partition.grain == "month"
        else start + timedelta(days=1)
    )
    return datetime(after.year, after.month, after.day, tzinfo=UTC)


def _steps(config: DatasetConfig, first: str, last: str) -> int:
    one, other = date.fromisoformat(first), date.fromisoformat(last)
    if config.partition.grain == "month":
        return (other.year - one.year) * 12 + other.month - one.month
    return (other - one).days


def _listed(words: Iterable[str]) -> str:
    listed = list(words)
    more = f" and {len(listed) - _MOST_WORDS} more" if len(listed) > _MOST_WORDS else ""
    return ", ".join(listed[:_MOST_WORDS]) + more
