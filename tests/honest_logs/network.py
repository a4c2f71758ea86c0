"""A small network whose days can be made one by one, with knobs for what honest logs do.

Rows have the columns of the simulated network's raw log, so that the faults of `ok_ml.world.log.faults` can be planted in them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

START = date(2021, 3, 1)  # a Monday
GROUPS = 6  # of taste
DAY_MS = 86_400_000
EVENING = (2, 1, 1, 1, 2, 3, 5, 7, 7, 6, 6, 7, 8, 7, 6, 6, 7, 9, 11, 13, 13, 11, 8, 4)
OFFICE = (0, 0, 0, 0, 0, 0, 1, 3, 10, 14, 14, 12, 8, 12, 14, 13, 11, 8, 3, 1, 1, 0, 0, 0)
FLAT = (1,) * 24


@dataclass(frozen=True)
class Shape:
    """What a log is like. Functions take the number of a day, 0 for the first one.

    Attributes
    ----------
    rate
        Events a day.
    factor
        Day -> what the rate is multiplied by.
    users, sources
        How many there are on day 0; `newcomers` and `new_sources` are added a day.
    shares
        Event type -> share; None: no such column. A function of the day where it changes.
    duration
        Median time spent in ms, or None: no such column.
    one_source
        Day -> share of the rows that name one source.
    robot
        Day -> rows of one user besides.
    impressions
        Rows are impressions with a position; some are followed by a reaction.
    step_ms
        Resolution of the clock.
    """

    rate: float = 700
    factor: Callable[[int], float] = lambda _day: 1.0
    users: int = 220
    newcomers: Callable[[int], float] = lambda _day: 0.0
    leavers: Callable[[int], float] = lambda _day: 0.0
    sources: int = 80
    new_sources: float = 0.0
    lives_days: float = 1e9
    shares: Callable[[int], Mapping[str, float]] | None = None
    contents: Callable[[int], Mapping[str, float]] | None = None
    duration: Callable[[int], float] | None = None
    spread: float = 0.9
    nulls: Callable[[int], float] = lambda _day: 0.0
    one_source: Callable[[int], float] = lambda _day: 0.0
    robot: Callable[[int], int] = lambda _day: 0
    hours: Callable[[int], tuple[int, ...]] = lambda _day: EVENING
    zones: tuple[float, ...] = (0.0,)
    impressions: bool = False
    click_rate: Callable[[int], float] = lambda _day: 0.15
    step_ms: int = 1000
    missing: frozenset[int] = frozenset()
    until_hour: Mapping[int, float] = field(default_factory=dict)
    once_a_user: bool = False
    sessions: bool = False
    copies: float = 0.0


@dataclass(frozen=True)
class HonestLog:
    """A log of one kind and seed.

    Attributes
    ----------
    history
        Days that come in together.
    stops
        Words of the reason with which `data check` stops it; empty: it is served.
    """

    name: str
    seed: int
    shape: Shape
    history: int = 90
    days: int = 30
    stops: str = ""

    @property
    def dts(self) -> list[str]:
        """Days that have a delivery, ISO dates."""
        return [dt_of(day) for day in range(self.history + self.days) if day not in self.shape.missing]

    def raw(self, dt: str) -> pa.Table:
        """The raw rows of a day; the same however often it is asked for."""
        return made(self.shape, (date.fromisoformat(dt) - START).days, self.seed)

    def mapping(self, name: str) -> str:
        """The YAML of its dataset."""
        shape = self.shape
        columns = {"user_id": "userId", "source_id": "ownerId", "item_id": "objectId"}
        kinds = {"show": "impression", "click": "click", "like": "like", "comment": "comment", "reshare": "share"}
        if shape.shares or shape.impressions:
            columns["event_type"] = "action"
        if shape.impressions:
            columns["position"] = "pos"
        if shape.contents:
            columns["content_type"] = "contentType"
        if shape.duration:
            columns["duration_ms"] = "durationMs"
        typed = "event_type" in columns
        said = (
            f"event_types: {{{', '.join(f'{raw}: {kind}' for raw, kind in kinds.items())}}}"
            if typed
            else "constants: {event_type: click}"
        )
        return f"""\
dataset: {name}
description: "An honest log."
owners: [data@example.org]
parts: 1
events:
  path: raw/{{dt}}.parquet
  format: parquet
  columns: {{{", ".join(f"{mine}: {raw}" for mine, raw in columns.items())}}}
  time: {{columns: [timestampMs], format: epoch_ms}}
  {said}
subscription: {{event_types: [{"like" if typed else "click"}]}}
has_impressions: {str(shape.impressions).lower()}
weights: {{click: 1, like: 2, comment: 3, share: 3}}
grades: {{click: 1, like: 2, comment: 3, share: 3}}
"""


def dt_of(day: int) -> str:
    """The date of a day."""
    return (START + timedelta(days=day)).isoformat()


def made(shape: Shape, day: int, seed: int) -> pa.Table:
    """The raw rows of one day of a network."""
    rng = np.random.default_rng([seed, day])
    count = int(rng.poisson(max(shape.rate * shape.factor(day), 0)))
    users = _users(shape, day, seed, count, rng)
    sources = _sources(shape, day, users, rng)
    sources[rng.random(count) < shape.one_source(day)] = _source_id(shape, day, 3)
    robot = shape.robot(day)
    if robot:
        users, sources = (
            np.append(users, np.full(robot, 9_999_991)),
            np.append(sources, rng.choice(sources, robot) if count else np.full(robot, 7)),
        )
    copies = rng.random(len(users)) < shape.copies
    time = _times(shape, day, len(users), rng)
    order = np.argsort(time, kind="stable")
    again = order[copies[order]]
    users, sources, time = (np.append(column[order], column[again]) for column in (users, sources, time))
    return _rows(shape, day, users, sources, time, rng)


def _users(shape: Shape, day: int, seed: int, count: int, rng: np.random.Generator) -> Any:
    came = int(sum(shape.newcomers(one) for one in range(day + 1)))
    left = int(sum(shape.leavers(one) for one in range(day + 1)))
    if shape.once_a_user:  # everybody is there for one day
        return 100_000 + day * 10_000 + rng.integers(0, max(count // 3, 1), count)
    known = np.arange(left, shape.users + came)
    active = np.random.default_rng(seed).lognormal(0, 0.8, shape.users + came + 1)[known]
    users = rng.choice(known, count, p=active / active.sum()) + 1
    return users * 1000 + day if shape.sessions else users


def _source_id(shape: Shape, day: int, number: int) -> int:
    return 500_000 + number + (int(day // shape.lives_days) * shape.sources if shape.lives_days < 1e9 else 0)


def _sources(shape: Shape, day: int, users: Any, rng: np.random.Generator) -> Any:
    """Seven in ten rows follow the user's taste, the others what is popular."""
    total = shape.sources + int(shape.new_sources * day)
    popularity = 1 / np.arange(1, total + 1) ** 0.7
    popularity /= popularity.sum()
    chosen = rng.choice(total, len(users), p=popularity)
    taste = (users % GROUPS + GROUPS * rng.integers(0, max(total // GROUPS, 1), len(users))) % total
    number = np.where(rng.random(len(users)) < 0.7, taste, chosen)
    if shape.lives_days < 1e9:  # a source is there for some days, then another one takes its place
        return 500_000 + number + ((day + number) // shape.lives_days).astype(np.int64) * 10_000
    return 500_000 + number


def _times(shape: Shape, day: int, count: int, rng: np.random.Generator) -> Any:
    hours = np.asarray(shape.hours(day), float)
    hour = rng.choice(24, count, p=hours / hours.sum())
    local = hour * 3_600_000 + rng.integers(0, 3_600_000, count)
    zone = rng.choice(np.asarray(shape.zones) * 3_600_000, count).astype(np.int64)
    of_day = (local - zone) % DAY_MS
    if day in shape.until_hour:
        of_day = of_day[of_day < shape.until_hour[day] * 3_600_000]
        of_day = rng.choice(of_day, count)
    start = int(datetime.combine(START + timedelta(days=day), datetime.min.time(), UTC).timestamp() * 1000)
    return start + of_day // shape.step_ms * shape.step_ms


def _words(shares: Mapping[str, float], count: int, rng: np.random.Generator) -> Any:
    share = np.asarray(list(shares.values()), float)
    return np.asarray(list(shares), object)[rng.choice(len(share), count, p=share / share.sum())]


def _rows(shape: Shape, day: int, users: Any, sources: Any, time: Any, rng: np.random.Generator) -> pa.Table:
    count = len(users)
    action = (
        _words(shape.shares(day), count, rng)
        if shape.shares
        else np.full(count, "show" if shape.impressions else "click", object)
    )
    item = sources * 1000 + time // 60_000 % 1000
    spent = (
        np.exp(np.log(shape.duration(day)) + shape.spread * rng.standard_normal(count))
        if shape.duration
        else np.zeros(count)
    )
    spent = np.where(rng.random(count) < shape.nulls(day), np.nan, spent) if shape.duration else np.full(count, np.nan)
    position = rng.geometric(0.25, count) - 1 if shape.impressions else np.full(count, -1)
    content = _words(shape.contents(day), count, rng) if shape.contents else np.full(count, None, object)
    if shape.impressions:
        liked = np.flatnonzero(
            rng.random(count) < shape.click_rate(day) * np.where(users % GROUPS == (sources - 500_000) % GROUPS, 2, 1)
        )
        kind = _words({"click": 0.7, "like": 0.3}, len(liked), rng)
        columns = (users, sources, item, content, time)
        users, sources, item, content, time = (np.append(column, column[liked]) for column in columns)
        action, spent = np.append(action, kind), np.append(spent, np.full(len(liked), np.nan))
        position = np.append(position, np.full(len(liked), -1))
    return pa.table(
        {
            "userId": pa.array(users, pa.int64()),
            "ownerId": pa.array(sources, pa.int64()),
            "objectId": pa.array(item, pa.int64()),
            "action": pa.array(action, pa.string()),
            "pos": pa.array(position, pa.int32(), mask=position < 0),
            "contentType": pa.array(content, pa.string()),
            "durationMs": pa.array(np.nan_to_num(spent).astype(np.int32), mask=np.isnan(spent)),
            "timestampMs": pa.array(time, pa.int64()),
        }
    )


def with_seed(log: HonestLog, seed: int) -> HonestLog:
    """The same kind with another seed."""
    return replace(log, seed=seed)
