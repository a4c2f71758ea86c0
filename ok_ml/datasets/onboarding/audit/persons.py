"""Which other column of a log could be the person, where the one that the mapping names is not."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.conversion.cells import words
from ok_ml.datasets.conversion.times import read_times
from ok_ml.datasets.formats.raw_tables import RawTable
from ok_ml.datasets.onboarding.guess.profiles import INTEGER, TEXT, profile
from ok_ml.datasets.onboarding.guess.samples import Sample, read_sample
from ok_ml.datasets.onboarding.guess.words import name_score
from ok_ml.errors import OkMlError
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

_MOST_FILES: Final = 8
_SHARE_RETURNING: Final = 0.2
_SHARE_ONE: Final = 0.9
_SHARE_DISTINCT: Final = 0.05


def columns_like_persons(config: DatasetConfig, lake: Lake, root: Path) -> tuple[str, ...]:
    """Raw columns whose values come back on another day and of which a user of the mapping has one, the likeliest first.

    Judged by the beginnings of some files; of remote files nothing is known.
    """
    raw = RawTable(config, c.EVENTS, lake, root)
    dates = raw.dates()[:_MOST_FILES] if raw.is_dated else [None]
    files = [file for dt in dates for file in raw.files(dt) if isinstance(file, Path)][:_MOST_FILES]
    try:
        samples = [read_sample(file) for file in files]
    except OkMlError:
        return ()
    return _of_samples(config, samples) if samples and c.USER_ID in config.events.columns else ()


def _of_samples(config: DatasetConfig, samples: list[Sample]) -> tuple[str, ...]:
    mapping, key = config.events, f"{config.dataset}.{c.EVENTS}"
    names = set(samples[0].table.column_names).intersection(*(one.table.column_names for one in samples[1:]))
    if not {mapping.columns[c.USER_ID], *mapping.time.columns} <= names:
        return ()
    tables = [one.table.select(sorted(names)) for one in samples]
    days = np.concatenate([read_times(table, mapping.time, key).partitions(config.partition.grain) for table in tables])
    users = _codes(tables, mapping.columns[c.USER_ID])
    others = sorted(names - {*mapping.columns.values(), *mapping.time.columns})
    others = [name for name in others if profile(name, tables[0][name]).kind in (INTEGER, TEXT)]
    persons = [name for name in others if _is_person(name, _codes(tables, name), users, days.astype(np.int64))]
    return tuple(sorted(persons, key=lambda name: (-name_score(name, c.USER_ID), name)))


def _codes(tables: list[pa.Table], name: str) -> "Codes":
    """Equal values of a column, equal numbers from 0 on; -1 where null."""
    column = pa.concat_arrays([words(table[name]).to_arrow() for table in tables]).dictionary_encode()
    return np.asarray(column.indices.fill_null(-1), np.int64)


def _is_person(name: str, codes: "Codes", users: "Codes", days: "Codes") -> bool:
    there = (codes >= 0) & (users >= 0)
    if not there.any():
        return False
    of_value = np.unique(np.unique(np.column_stack([codes, days])[there], axis=0)[:, 0], return_counts=True)[1]
    of_user = np.unique(np.unique(np.column_stack([users, codes])[there], axis=0)[:, 0], return_counts=True)[1]
    many = len(of_value) >= _SHARE_DISTINCT * len(of_user) or (name_score(name, c.USER_ID) > 0 and len(of_value) > 1)
    return bool(many and np.mean(of_value > 1) >= _SHARE_RETURNING and np.mean(of_user == 1) >= _SHARE_ONE)
