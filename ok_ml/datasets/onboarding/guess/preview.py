"""From a file that is not described yet to a mapping, with its first rows mapped by it."""

import re
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.row_mapping import map_rows
from ok_ml.datasets.conversion.mapping import raw_columns
from ok_ml.datasets.conversion.sieve import UNREADABLE, first_examples
from ok_ml.datasets.conversion.times import read_times
from ok_ml.datasets.formats.locations import expand
from ok_ml.datasets.onboarding.guess import words
from ok_ml.datasets.onboarding.guess.profiles import profile
from ok_ml.datasets.onboarding.guess.proposal import Proposal, propose
from ok_ml.datasets.onboarding.guess.roles import Roles, guess_roles
from ok_ml.datasets.onboarding.guess.samples import Sample, read_sample
from ok_ml.datasets.onboarding.guess.time_formats import guess_time

_DT: Final = re.compile(r"\d{4}-\d\d-\d\d")
_FIRST_OF_MONTH_SHARE: Final = 0.9


@dataclass(frozen=True)
class Preview:
    """What a file seems to be.

    Attributes
    ----------
    rows
        How many rows were looked at; all of the file if `whole`.
    first
        Canonical events made from its first rows, in raw order.
    set_aside
        Rows that the mapping sets aside, by reason.
    examples
        One raw row as JSON for each reason.
    """

    proposal: Proposal
    roles: Roles
    rows: int
    whole: bool
    events: int
    first: list[dict[str, Any]]
    set_aside: dict[str, int]
    examples: dict[str, str]


def preview_file(file: Path, name: str, root: Path, *, shown: int, timezone: str | None = None) -> Preview:
    """Guess the mapping of a file and map its first rows with it.

    Parameters
    ----------
    name
        The dataset's name in the mapping.
    root
        The project's folder: a path below it becomes relative.
    shown
        How many mapped rows are handed back.
    timezone
        Zone of times that do not name their own, if it is known.

    Raises
    ------
    UsageError, DataError
        There is no such file, or it is no log.
    """
    sample = read_sample(file)
    profiles = [profile(column, sample.table[column]) for column in sample.table.column_names]
    own = [column for column in profiles if column.name not in sample.folders]
    profiles = profiles if guess_time(own, timezone) is None else own
    roles = guess_roles(profiles, file.name, timezone)
    draft = propose(name, _path(file, root), sample, roles, sample.table.num_rows)
    grain = _grain(draft.config, sample)
    if grain != "day":
        draft = propose(name, _path(file, root), sample, roles, sample.table.num_rows, grain=grain)
    return _mapped(draft, sample, roles, shown)


def _path(file: Path, root: Path) -> str:
    """The file as `path`; a date in it stands for the partition if other dates lie beside it, a folder of Hive for all."""
    whole = file.resolve()
    text = str(whole.relative_to(root.resolve())) if whole.is_relative_to(root.resolve()) else str(whole)
    dates = _DT.findall(text)
    if len(set(dates)) == 1:
        pattern = text.replace(dates[0], "{dt}")
        beside = Path(expand(pattern.partition("{dt}")[0], root, "preview") + "x").parent
        text = pattern if sum(bool(_DT.search(path.name)) for path in beside.glob("*")) > 1 else text
    *folders, name = text.split("/")
    folders = [_every(folder) for folder in folders]
    pattern = "/".join([*folders, name])
    if pattern == text and "{dt}" not in "/".join(folders):
        return text
    return "/".join([*folders, _name_in_all(root, "/".join(folders).replace("{dt}", "*"), name)])


def _every(folder: str) -> str:
    """A folder of Hive that says a part of the date, as all of its kind."""
    name, equals, _ = folder.partition("=")
    return f"{name}=*" if equals and "{dt}" not in folder and words.is_date_part(name) else folder


def _name_in_all(root: Path, folders: str, name: str) -> str:
    """The file's name if it is the only one of its kind in every folder; else what they all match."""
    every = glob(str(root / folders))  # noqa: PTH207  the pattern may be absolute
    shape = f"*{Path(name).suffix}" if Path(name).suffix else f"{re.split('[^A-Za-z]', name)[0]}*"
    alone = all(len(list(Path(folder).glob(shape))) <= 1 and (Path(folder) / name).is_file() for folder in every)
    return name if alone or "{dt}" in name else shape


def _grain(config: DatasetConfig, sample: Sample) -> str:
    times = read_times(sample.table, config.events.time, config.dataset)
    days = times.partitions("day")[~times.bad]
    of_month = days.astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(np.int32) == days
    months = len(np.unique(days[of_month]))
    return "month" if months > 2 and float(np.mean(of_month)) > _FIRST_OF_MONTH_SHARE else "day"


def _mapped(draft: Proposal, sample: Sample, roles: Roles, shown: int) -> Preview:
    config, key = draft.config, f"{draft.config.dataset}.{c.EVENTS}"
    table = sample.table.select(raw_columns(config.events))
    mapped = map_rows(config, table, key)
    texts, counts = first_examples(table, *mapped.sieve.rejections()), mapped.sieve.counts()
    if sample.unreadable:
        texts[UNREADABLE], counts[UNREADABLE] = sample.unreadable[0], len(sample.unreadable)
    first = _first_events(config, table, key, shown)
    return Preview(draft, roles, table.num_rows, sample.whole, mapped.events.table.num_rows, first, counts, texts)


def _first_events(config: DatasetConfig, table: pa.Table, key: str, shown: int) -> list[dict[str, Any]]:
    """Events of the first rows, row by row: in raw order, where the mapping would sort them."""
    events: list[dict[str, Any]] = []
    for row in range(min(table.num_rows, 4 * shown)):
        events += map_rows(config, table.slice(row, 1), key).events.table.drop_columns([c.PART]).to_pylist()
        if len(events) >= shown:
            break
    return events[:shown]
