"""Raw texts to committed partitions of canonical texts, each with its label if it has one.

A row that does not fit is set aside with its reason and counted, as rows of events are. Texts are read whole: a body of messages
is small compared with a log of events.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import TextsConfig, TextsMapping
from ok_ml.datasets.canonical.dataset_calendar import declared_range
from ok_ml.datasets.canonical.day_tables import Day, DayTable, MappedRows, mapped_rows, planned_days, rejected_rows
from ok_ml.datasets.conversion.cells import flat
from ok_ml.datasets.conversion.mapping import CONTROL, REPEATED, Lookups, id_cells, raw_columns
from ok_ml.datasets.conversion.sieve import Sieve, drop_conditions
from ok_ml.datasets.conversion.times import read_times
from ok_ml.datasets.formats.raw_tables import RawTable, Versioned
from ok_ml.hashing import part_of, text_id
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.partitions import day_of, iso_of, partition_days

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODE_VERSION: Final = "1"  # raise it when equal raw rows become other canonical rows
REJECTED: Final = "rejected_texts"
MOST_CHARACTERS: Final = 10_000  # of a text; what is longer is cut
TEXT_SCHEMA: Final = pa.schema(
    [
        (c.TEXT_ID, pa.int64()),
        (c.TEXT, pa.string()),
        (c.LABEL, pa.string()),
        (c.EVENT_TIME, pa.timestamp("us", "UTC")),
        (c.PART, pa.int32()),
    ]
)


def one_spelling(text: str) -> str:
    """What two texts have in common that differ in case and blanks alone."""
    return " ".join(text.casefold().split())


def id_of_text(text: str) -> int:
    """The id of a text that has none of its own: 63 bits of the XXH3 hash of its one spelling."""
    return text_id(one_spelling(text))


@dataclass(frozen=True)
class TextTable(RawTable):
    """One of the raw tables of a dataset of texts."""

    number: int = field(default=0)

    @property
    def mapping(self) -> TextsMapping:
        """Its section of the configuration."""
        texts_mapping: TextsMapping = self.config.texts[self.number]  # type: ignore[attr-defined]
        return texts_mapping

    @property
    def key(self) -> str:
        """The place in the configuration, for messages."""
        return f"{self.config.dataset}.texts[{self.number}]"


def stale_texts(config: TextsConfig, lake: Lake, *, root: Path) -> tuple[list[str], list[str]]:
    """The partitions that should be committed, and those of them that are missing or were made from other input."""
    wanted, texts = partitions_of_texts(config, lake, root=root), text_days(config, lake, root)
    return wanted, [dt for dt in wanted if not texts.is_current(dt)]


def partitions_of_texts(config: TextsConfig, lake: Lake, *, root: Path) -> list[str]:
    """The partitions that the raw texts hold, ascending; of a simulated network the days of its plan."""
    partitions = set(planned_days(config))
    for raw in _tables(config, lake, root):
        partitions |= (
            set(raw.dates()) if raw.is_dated else {iso_of(day) for day in np.unique(_whole(Versioned.of(raw)).days)}
        )
    first, last = declared_range(config)
    return sorted(dt for dt in partitions if first <= day_of(dt) <= last)


def ingest_texts(
    config: TextsConfig, lake: Lake, dts: Sequence[str], *, root: Path, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Map the raw texts of some partitions and commit them; those made from the same input are left alone.

    Raises
    ------
    EmptyPartition
        A partition has no usable text. Nothing of it is committed; every other partition is.
    """
    tables = list(_tables(config, lake, root))

    def days(dts: list[str]) -> Iterator[tuple[str, Day]]:
        yield from ((dt, _day(tables, dt)) for dt in dts)

    reports = text_days(config, lake, root).commit(dts, days, _described, progress)
    return [report.manifest for report in reports]


def text_days(config: TextsConfig, lake: Lake, root: Path) -> DayTable:
    """The table of texts."""

    def raw_version(dt: str) -> str:
        return fingerprint({one.key: one.version(dt if one.is_dated else None) for one in _tables(config, lake, root)})

    return DayTable(config, lake, c.TEXTS, REJECTED, CODE_VERSION, "text", raw_version)


def _described(texts: pa.Table) -> dict[str, Any]:
    """How many texts have which label."""
    counted = Counter(texts[c.LABEL].to_pylist())
    labels = {str(name): count for name, count in sorted(counted.items(), key=str) if name is not None}
    return {"labels": labels, "unlabelled": counted.get(None, 0)}


# -- raw rows --------------------------------------------------------------------------------------------------------


def _map(raw: TextTable, dt: str | None) -> MappedRows:
    """The rows of one raw table, all of them or those delivered for a partition."""
    config, mapping = raw.config, raw.mapping
    rows = raw.read_all(_columns(mapping), dt)
    sieve = Sieve(rows.table.num_rows)
    table = Lookups(mapping, raw.root, raw.key).join(rows.table, sieve)
    drop_conditions(sieve, table, mapping.drop_if, raw.key)
    days, micros = _times(raw, table, sieve, dt)
    texts = pc.utf8_trim_whitespace(pc.replace_substring_regex(_text(mapping, table, c.TEXT), CONTROL, " "))
    texts = pc.utf8_slice_codeunits(texts, 0, MOST_CHARACTERS)
    sieve.reject(np.asarray(pc.equal(pc.fill_null(pc.utf8_length(texts), 0), 0)), "null_text")
    ids = _ids(raw, table, texts, sieve)
    kept = np.flatnonzero(sieve.kept)
    first = _first_of(ids[kept], days[kept])
    sieve.reject(np.isin(np.arange(len(ids)), kept[~first]), REPEATED)
    kept = kept[first]
    kept = kept[np.argsort(days[kept], kind="stable")]
    canonical = pa.table(
        [
            pa.array(ids[kept]),
            texts.take(pa.array(kept)),
            _label(mapping, table).take(pa.array(kept)),
            pa.array(micros[kept]).cast(TEXT_SCHEMA.field(c.EVENT_TIME).type),
            pa.array(part_of(ids[kept], config.parts)),
        ],
        schema=TEXT_SCHEMA,
    )
    first_day = int(days.min(initial=day_of(dt or mapping.date)))
    return mapped_rows(canonical, days[kept], table, sieve, days, rows.unreadable, first_day)


@lru_cache(maxsize=16)
def _whole(known: Versioned[TextTable]) -> MappedRows:
    return _map(known.raw, None)


def _day(tables: Sequence[TextTable], dt: str) -> Day:
    """The texts of one partition in all tables; one that stands in several counts in the first."""
    days = [(_map(raw, dt) if raw.is_dated else _whole(Versioned.of(raw))).of(dt) for raw in tables]
    texts = pa.concat_tables([day.rows for day in days])
    first = _first_of(texts[c.TEXT_ID].to_numpy(), np.zeros(texts.num_rows, np.int32))
    twice = rejected_rows(texts, np.flatnonzero(~first), [REPEATED] * int((~first).sum()), ())
    ordered = texts.filter(pa.array(first)).sort_by([(c.PART, "ascending"), (c.TEXT_ID, "ascending")])
    return Day(ordered, pa.concat_tables([*(day.rejected for day in days), twice]))


def _tables(config: TextsConfig, lake: Lake, root: Path) -> Iterator[TextTable]:
    for number in range(len(config.texts)):
        yield TextTable(config, c.TEXTS, lake, root, number=number)


def _columns(mapping: TextsMapping) -> list[str]:
    time = mapping.time.columns if mapping.time is not None else ()
    return sorted({*raw_columns(mapping), *time})


def _times(
    raw: TextTable, table: pa.Table, sieve: Sieve, dt: str | None
) -> "tuple[NDArray[np.int32], NDArray[np.int64]]":
    """The partition of each row, days since 1970-01-01, and its time, microseconds."""
    mapping, grain = raw.mapping, raw.config.partition.grain
    if mapping.time is None:
        day = partition_days(dt or mapping.date, grain)
        return np.full(table.num_rows, day, np.int32), np.full(table.num_rows, day * 86_400_000_000, np.int64)
    times = read_times(table, mapping.time, raw.key)
    sieve.reject(times.bad, "bad_time")
    days = np.where(times.bad, 0, times.partitions(grain)).astype(np.int32)
    if dt is not None:
        sieve.reject(days != day_of(dt), "late")
        days = np.full(len(days), day_of(dt), np.int32)
    return days, times.micros


def _text(mapping: TextsMapping, table: pa.Table, name: str) -> pa.Array:
    if name in mapping.constants:
        return pa.repeat(mapping.constants[name], table.num_rows)
    if name not in mapping.columns:
        return pa.nulls(table.num_rows, pa.string())
    return flat(table[mapping.columns[name]]).cast(pa.string())


def _label(mapping: TextsMapping, table: pa.Table) -> pa.Array:
    """Labels; an empty one is none."""
    labels = pc.utf8_trim_whitespace(_text(mapping, table, c.LABEL))
    return pc.if_else(pc.equal(labels, ""), pa.scalar(None, pa.string()), labels)


def _ids(raw: TextTable, table: pa.Table, texts: pa.Array, sieve: Sieve) -> "NDArray[np.int64]":
    if c.TEXT_ID in raw.mapping.columns:
        cells = id_cells(raw.mapping, table, c.TEXT_ID, raw.key)
        sieve.reject(cells.null, f"null_{c.TEXT_ID}")
        sieve.reject(cells.bad, f"bad_{c.TEXT_ID}")
        return cells.values
    return np.fromiter((id_of_text(text or "") for text in texts.to_pylist()), np.int64, len(texts))


def _first_of(ids: "NDArray[np.int64]", days: "NDArray[np.int32]") -> "NDArray[np.bool_]":
    """Mask of the first row of each id of a day, in the order of the rows."""
    first = np.zeros(len(ids), bool)
    first[np.unique(np.column_stack([days, ids]), axis=0, return_index=True)[1]] = True
    return first
