"""Everything that is counted while a log is read through its mapping."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.partial_days import DayProfiles
from ok_ml.datasets.canonical.row_mapping import map_rows
from ok_ml.datasets.conversion.cells import id_words, ids_of
from ok_ml.datasets.conversion.mapping import Events, Lookups
from ok_ml.datasets.conversion.markers import marker_ids
from ok_ml.datasets.conversion.sieve import UNREADABLE, Sieve, first_examples, unreadable_json
from ok_ml.datasets.formats.raw_rows import RawRows
from ok_ml.datasets.onboarding.audit.spellings import IdTexts, NumberSpellings, TextSpellings
from ok_ml.datasets.onboarding.counting import HashSample, IdCounts, row_hashes
from ok_ml.datasets.onboarding.histories import Histories, event_kinds

_NAMED = (c.USER_ID, c.SOURCE_ID)
_REACTIONS = (c.CLICK, c.LIKE, c.COMMENT, c.SHARE, c.HIDE)
_KINDS = {name: code for code, name in enumerate(c.EVENT_TYPES)}


@dataclass
class Tally:
    """Running counts of one dataset.

    Attributes
    ----------
    raw_rows
        Rows read, lines that are none included.
    rejected, examples
        Rows set aside by reason; one of them as JSON.
    partitions, users, sources
        How often each partition (days since 1970-01-01), user and source occurs among the events.
    dated_rows
        How often each partition occurs among the rows with a time that counts, events or not.
    profiles
        When on each day these rows happened.
    histories
        Who met what on which day.
    texts, text_spellings, number_spellings
        How users and sources are called, and spelt.
    rows_seen
        A hash of each canonical event, of which equal ones are exact duplicates.
    shown, reacted
        A hash of (user, source, item) of each impression, and of each reaction.
    subscribed
        A hash of (user, source) of each event that subscribes.
    first_micros, last_micros
        Bounds of the event times, microseconds since 1970-01-01 UTC.
    """

    config: DatasetConfig
    raw_rows: int = 0
    events: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    event_types: Counter[str] = field(default_factory=Counter)
    partitions: IdCounts = field(default_factory=IdCounts)
    users: IdCounts = field(default_factory=IdCounts)
    sources: IdCounts = field(default_factory=IdCounts)
    dated_rows: IdCounts = field(default_factory=IdCounts)
    profiles: DayProfiles = field(default_factory=DayProfiles)
    histories: Histories = field(default_factory=Histories)
    texts: dict[str, IdTexts] = field(default_factory=lambda: {name: IdTexts() for name in _NAMED})
    text_spellings: dict[str, TextSpellings] = field(
        default_factory=lambda: {name: TextSpellings(name) for name in _NAMED}
    )
    number_spellings: dict[str, NumberSpellings] = field(
        default_factory=lambda: {name: NumberSpellings(name) for name in _NAMED}
    )
    rows_seen: HashSample = field(default_factory=HashSample)
    shown: HashSample = field(default_factory=HashSample)
    reacted: HashSample = field(default_factory=HashSample)
    subscribed: HashSample = field(default_factory=HashSample)
    first_micros: int | None = None
    last_micros: int | None = None

    def add(self, rows: RawRows, lookups: Lookups, key: str, delivered: str | None) -> None:
        """Count a batch of raw rows; `delivered` is the partition whose delivery it is, if the log has such."""
        mapped = map_rows(self.config, rows.table, key, lookups, delivered)
        self.profiles.add(mapped.times.micros[mapped.dated])
        self.dated_rows.add(mapped.times.partitions(self.config.partition.grain)[mapped.dated].astype(np.int64))
        self.raw_rows += rows.table.num_rows + len(rows.unreadable)
        self._note_rejected(mapped.table, mapped.sieve, rows.unreadable)
        if mapped.events.table.num_rows:
            self._note_events(mapped.events)
            self._note_texts(mapped.table, mapped.sieve)

    def _note_rejected(self, table: pa.Table, sieve: Sieve, unreadable: tuple[str, ...]) -> None:
        rows, reasons = sieve.rejections()
        self.examples = first_examples(table, rows, reasons) | self.examples
        self.rejected.update(sieve.counts())
        if unreadable:
            self.rejected[UNREADABLE] += len(unreadable)
            self.examples.setdefault(UNREADABLE, unreadable_json(unreadable[:1])[0])

    def _note_texts(self, table: pa.Table, sieve: Sieve) -> None:
        """How the ids of the rows that are events are written."""
        mapping, kept = self.config.events, pa.array(sieve.kept)
        for name in (name for name in _NAMED if name in mapping.columns):
            column = table[mapping.columns[name]].filter(kept)
            if name not in mapping.hash_ids:
                self.number_spellings[name].add(column)
                continue
            text = id_words(column, mapping.id_spelling.get(name))
            ids = ids_of(text.names)
            self.texts[name].add(text, ids)
            nobodies = np.isin(ids, [*marker_ids(mapping.id_spelling.get(name))])
            people = [code for code in np.unique(text.codes[text.codes >= 0]).tolist() if not nobodies[code]]
            self.text_spellings[name].add([text.names[code] for code in people])

    def _note_events(self, events: Events) -> None:
        table = events.table
        users, sources, items = (table[name].to_numpy() for name in (c.USER_ID, c.SOURCE_ID, c.ITEM_ID))
        micros = table[c.EVENT_TIME].cast(pa.int64()).to_numpy()
        codes = event_kinds(table)
        self.events += len(users)
        self.event_types.update(
            {c.EVENT_TYPES[code]: int(count) for code, count in enumerate(np.bincount(codes)) if count}
        )
        days = events.partition_days.astype(np.int64)
        self.partitions.add(days)
        self.histories.add(users, days, sources, codes)
        self.users.add(users)
        self.sources.add(sources[codes != _KINDS[c.FRIEND_REQUEST]])
        others = [table[name].cast(pa.int64()).fill_null(-1).to_numpy() for name in (c.POSITION, c.DURATION_MS)]
        self.rows_seen.add(row_hashes([users, sources, items, codes, micros, *others]))
        triples, impressions = row_hashes([users, sources, items]), codes == _KINDS[c.IMPRESSION]
        self.shown.add(triples[impressions])
        self.reacted.add(triples[np.isin(codes, [_KINDS[name] for name in _REACTIONS])])
        subscribing = np.isin(codes, [_KINDS[name] for name in self.config.subscription.event_types if name in _KINDS])
        self.subscribed.add(row_hashes([users[subscribing], sources[subscribing]]))
        low, high = int(micros.min()), int(micros.max())
        self.first_micros = low if self.first_micros is None else min(low, self.first_micros)
        self.last_micros = high if self.last_micros is None else max(high, self.last_micros)
