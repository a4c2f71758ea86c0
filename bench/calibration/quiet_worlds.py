"""Quiet worlds: simulated years in which nothing breaks, and the numbers of each of their days that a check looks at.

A world goes through the real steps, day after day, in the closed loop: the lists that the storage would hold are what its users
are shown on the next day, from `first_served` on. A day is simulated, ingested, its snapshots built, its numbers counted as in
production; features have bins that are frozen anew every week (as a weekly training does), and lists are those of a light model
that is fitted every day and trained every week. What is stored is small: numbers by day, and the worst drift of each day.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, DriftConfig, FeaturesStage, WorldConfig
from ok_ml.config.sections.recommender_models import ListChecks
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.lake import Lake
from ok_ml.monitoring.series.event_series import read_log_day
from ok_ml.partitions import minus_days, window
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from ok_ml.quality.ranking.prediction_statistics import PartLists
    from ok_ml.quality.statistics.bins import FrozenBins
    from ok_ml.quality.statistics.event_statistics import LogDay
    from ok_ml.quality.statistics.statistics_rows import Partial
    from ok_ml.world.behaviour.exposure import ServedLists
    from ok_ml.world.population.network import World

CHUNK_DAYS: Final = 28
REFERENCE_DAYS: Final = 28
RETRAIN_DAYS: Final = 7
FIRST_SERVED: Final = 28  # day of a world: the first lists are made from four weeks, as those of the shipped experiment
DECLARED: Final = "declared_rules"  # table: how many rules of the YAML a day breaks, by what they do
FAILED: Final = "failed"
_DEPTHS: Final = (10,)  # of the metrics of what was served
_SCOPE: Final = "features"
_DRIFT: Final = "drift"
_COLUMNS: Final = ("table", "dt", "metric", "group", "value", "n")
_ENTITY_OF: Final = {table: ENTITY_OF[table] for table in (c.USER_FEATURES, c.SOURCE_FEATURES, c.PAIR_FEATURES)}
_KEPT_DAYS: Final = 35  # of the lake: what the windows of features and of the light model reach
_WARM_DAYS: Final = 14  # whose features see a shorter log than their windows
Days = dict[str, dict[Name, Number]]


@dataclass(frozen=True)
class Drift:
    """The worst features of one day against the reference of its week."""

    psi: float
    js: float
    blocks: bool
    feature: str


@dataclass
class Watched:
    """What the checks look at, by day.

    Attributes
    ----------
    series
        Table of numbers -> day -> its numbers.
    drift
        Day -> its worst drift; days before the first reference have none.
    lists
        Day -> the lists made on it, of a world whose days are all retained; they are not saved.
    served
        Day -> what was served on it, of the same.
    """

    seed: int
    series: dict[str, Days] = field(default_factory=dict)
    drift: dict[str, Drift] = field(default_factory=dict)
    lists: "dict[str, PartLists]" = field(default_factory=dict)
    served: "dict[str, ServedLists | None]" = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything into one Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [
            (table, dt, *one.name, one.value, one.n)
            for table, days in self.series.items()
            for dt, numbers in days.items()
            for one in numbers.values()
        ]
        rows += [
            (_DRIFT, dt, key, one.feature, float(getattr(one, key)), 0)
            for dt, one in self.drift.items()
            for key in ("psi", "js", "blocks")
        ]
        columns = list(zip(*rows, strict=True))
        table = pa.table({name: pa.array(list(column)) for name, column in zip(_COLUMNS, columns, strict=True)})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        pq.write_table(table.replace_schema_metadata({"seed": str(self.seed)}), partial, compression="zstd")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Watched":
        """Read what was saved."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        found, drift = cls(int(table.schema.metadata[b"seed"])), dict[str, dict[str, Any]]()
        for kind, dt, metric, group, value, n in zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True):
            if kind == _DRIFT:
                drift.setdefault(dt, {"feature": group})[metric] = value
            else:
                name = Name(metric, group)
                found.series.setdefault(kind, {}).setdefault(dt, {})[name] = Number(name, value, n)
        for dt, one in drift.items():
            found.drift[dt] = Drift(one["psi"], one["js"], bool(one["blocks"]), one["feature"])
        return found

    def add(self, table: str, dt: str, numbers: Sequence[Number]) -> None:
        """Keep the numbers of a day."""
        self.series.setdefault(table, {})[dt] = {one.name: one for one in numbers}

    @property
    def regimes(self) -> dict[str, str]:
        """What `regimes_of` tells of its log."""
        return dict.fromkeys(self.series.get(c.ONLINE_METRICS, {}), "served")


@dataclass(frozen=True)
class QuietWorld:
    """One world of a given seed and size, in a folder of its own.

    Attributes
    ----------
    first_served
        The first day on which users are served lists, made on the day before.
    """

    dataset: DatasetConfig
    stage: FeaturesStage
    checks: ListChecks
    folder: Path
    first_served: int = FIRST_SERVED

    @classmethod
    def of(
        cls,
        dataset: DatasetConfig,
        stage: FeaturesStage,
        checks: ListChecks,
        folder: Path,
        *,
        seed: int,
        days: int,
        users: int,
        first_served: int = FIRST_SERVED,
    ) -> "QuietWorld":
        """A small world with the behaviour of a dataset's world, another seed, and no incident."""
        world = cls(dataset, stage, checks, folder).simulated
        sizes = {"users": users, "sources": max(round(0.4 * users), 50), "users_per_block": users}
        rest = {"seed": seed, "days": days, "incidents": (), "taste_changes": ()}
        world = world.model_copy(update={**sizes, **rest})
        return cls(dataset.model_copy(update={"world": world, "parts": 1}), stage, checks, folder, first_served)

    @property
    def lake(self) -> Lake:
        """Where its tables are."""
        return Lake(self.folder)

    @property
    def dts(self) -> list[str]:
        """Its days."""
        return self.network.dates()

    @cached_property
    def network(self) -> "World":
        """Its users, sources and friends."""
        from ok_ml.world.population.network import World

        return World(self.simulated, self.dataset.parts)

    @property
    def simulated(self) -> WorldConfig:
        """Its world.

        Raises
        ------
        ValueError
            The dataset is not simulated.
        """
        if self.dataset.world is None:
            raise ValueError(f"{self.dataset.dataset} is a real dataset: its past can be replayed, not simulated")
        return self.dataset.world

    def live(
        self, *, features: bool = True, keep: bool = False, progress: Callable[[str], None] | None = None
    ) -> Watched:
        """Simulate all days and watch them; `keep` leaves all of them in the lake, not only the latest."""
        watched = Watched(self.simulated.seed)
        loop, drift = _ServingLoop(self, watched, keep=keep), _DriftWatch(self)
        for start in range(0, len(self.dts), CHUNK_DAYS):
            chunk = self.dts[start : start + CHUNK_DAYS]
            for dt in chunk:
                loop.live(dt)
            if features:
                self.compute(chunk)
                watched.drift |= {dt: found for dt in chunk if (found := drift.watch(dt)) is not None}
            if not keep:
                self.forget(chunk[-1])
            if progress:
                progress(f"seed {watched.seed}: {chunk[-1]}")
        return watched

    def deliver(self, dt: str, served: "ServedLists | None", world: "World | None" = None) -> None:
        """Simulate a day on which some lists are served, and ingest its log.

        Parameters
        ----------
        world
            The same world with an incident on that day.
        """
        from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
        from ok_ml.datasets.canonical.ingest import ingest_events
        from ok_ml.world.log.raw_log import export_days

        export_days(world or self.network, self.lake, self.dataset.dataset, [dt], served=served, workers=1)
        ingest_events(self.dataset, self.lake, [dt], root=self.folder)
        build_snapshots(self.dataset, self.lake, [dt], root=self.folder)

    def numbers(self, dt: str, served: "ServedLists | None") -> dict[str, list[Number]]:
        """Table -> the numbers of a day's log, of what people did, of what they did with their lists, of broken rules."""
        found = {
            c.EVENT_STATISTICS: self.log_numbers(dt),
            c.PRODUCT_METRICS: self.product_numbers(dt),
            DECLARED: self.broken_rules(dt),
        }
        return found if served is None else found | {c.ONLINE_METRICS: self.online_numbers(dt, served)}

    def compute(self, dts: Sequence[str]) -> None:
        """The features of some days, in this process."""
        from ok_ml.features.computing.compute import compute_features

        compute_features(
            None,
            self.lake,
            scope=_SCOPE,
            dataset=self.dataset,
            stage=self.stage,
            dts=dts,
            inputs_for=lambda _dt, _table: {},
            tables=tuple(_ENTITY_OF),
        )

    def log_day(self, dt: str) -> "LogDay":
        """What the numbers of a day's log are counted on."""
        from ok_ml.quality.statistics.event_statistics import DAYS_BEFORE

        known = self.lake.partitions(self.dataset.dataset, c.EVENTS)
        before = [day for day in window(known, dt, DAYS_BEFORE + 1) if day < dt]
        return read_log_day(self.lake, self.dataset.dataset, dt, before)

    def log_numbers(self, dt: str) -> list[Number]:
        """The numbers of a day's log."""
        from ok_ml.quality.statistics.event_statistics import event_statistics

        return event_statistics(self.log_day(dt))

    def product_numbers(self, dt: str) -> list[Number]:
        """What people did on a day."""
        from ok_ml.quality.statistics.product_statistics import DayCounts, count_part, product_numbers

        events, users = (self.lake.read(self.dataset.dataset, table, [dt]) for table in (c.EVENTS, c.USERS))
        counts = DayCounts.none()
        counts.add(count_part(events, users.select([c.USER_ID, c.SEGMENT])))
        types = sorted(set(self.dataset.events.event_types.values()))
        return product_numbers(counts, types, sorted(self.dataset.grades), users.num_rows)

    def online_numbers(self, dt: str, served: "ServedLists") -> list[Number]:
        """What people did with the lists that were served on a day."""
        from ok_ml.quality.ranking.online_ranking import online_numbers
        from ok_ml.ranked_lists.online_metrics import ServedDay

        day = ServedDay.load(self.lake, self.dataset, dt, minus_days(dt, 1), _DEPTHS)
        part = day.part(0, served.user_ids, served.source_ids)
        return online_numbers([part], model_version=1, catalogue_size=day.catalogue.size, impressions=True)

    def broken_rules(self, dt: str) -> list[Number]:
        """How many of the declared rules a day breaks, of those that warn and of those that block."""
        from ok_ml.monitoring.judges.data_judge import rejected_share
        from ok_ml.quality.judges.day_rules import day_rules, read

        day, history = read(self.dataset, self.lake, dt)
        failed = [
            rule.severity
            for rules in day_rules(self.dataset, day, history).values()
            for rule in rules
            if not rule.holds
        ]
        events = self.lake.manifest(self.dataset.dataset, c.EVENTS, dt)
        failed += ["warn"] if rejected_share(events) > self.dataset.checks.rejected_warn else []
        return [Number(Name(FAILED, severity), failed.count(severity)) for severity in ("block", "warn")]

    def forget(self, dt: str) -> None:
        """Remove what is older than anything that still looks back from the day after `dt`."""
        last = minus_days(dt, _KEPT_DAYS)
        for table in [path for scope in (self.dataset.dataset, _SCOPE) for path in (self.folder / scope).glob("*")]:
            for manifest in [path for path in (table / "_committed").glob("*.json") if path.stem < last]:
                manifest.unlink()
                shutil.rmtree(table / manifest.stem, ignore_errors=True)

    def clean(self) -> None:
        """Remove the lake."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _ServingLoop:
    """Goes through the days of a world in order: what is made of one day is served on the next."""

    def __init__(self, world: QuietWorld, watched: Watched, *, keep: bool) -> None:
        from bench.calibration.cheap_lists import LightModel

        self.world, self.watched, self.keep = world, watched, keep
        self.model = LightModel(world.lake, world.dataset)
        self.lists: PartLists | None = None
        self.version: int | None = None  # of the model that made them

    def live(self, dt: str) -> None:
        """Simulate a day with the lists of the day before, watch it, and make the lists of the next."""
        from bench.calibration.cheap_lists import list_numbers

        world, number = self.world, self.world.network.day_of(dt)
        users = np.sort(world.network.user_ids(number))
        served = None if self.lists is None else self.model.served(dt, self.lists, users)
        world.deliver(dt, served)
        for table, numbers in world.numbers(dt, served).items():
            self.watched.add(table, dt, numbers)
        if number and number % RETRAIN_DAYS == 0:
            self.model.train(dt)  # by the fit of the day before
        self.model.fit(dt)
        if number >= world.first_served - 1:
            before, self.lists = self.lists, self.model.lists(dt)
            same, self.version = self.version in (None, self.model.version), self.model.version
            of = (world.lake, world.dataset.dataset, dt, self.lists, before)
            self.watched.add(c.PREDICTION_STATISTICS, dt, list_numbers(*of, same_model=same))
            if self.keep:
                self.watched.lists[dt], self.watched.served[dt] = self.lists, served


class _DriftWatch:
    """Goes through the days of a world in order, and carries the reference that their features are compared with."""

    def __init__(self, world: QuietWorld) -> None:
        self.world = world
        self.partials: dict[str, dict[str, Partial]] = {}
        self.reference: tuple[FrozenBins, Any] | None = None

    def watch(self, dt: str) -> Drift | None:
        """The day against the reference, then perhaps a new reference: what is trained today judges tomorrow."""
        from ok_ml.quality.statistics.statistics_rows import partial_statistics

        lake, number = self.world.lake, self.world.network.day_of(dt)
        if number < _WARM_DAYS:
            return None
        self.partials[dt] = {
            entity: partial_statistics(lake.files(_SCOPE, table, [dt]), entity=entity)
            for table, entity in _ENTITY_OF.items()
        }
        for old in sorted(self.partials)[:-REFERENCE_DAYS]:
            del self.partials[old]
        found = (
            None
            if self.reference is None
            else judge_drift(self.partials[dt], *self.reference, self.world.checks.drift, dt)
        )
        if number % RETRAIN_DAYS == 0 and len(self.partials) == REFERENCE_DAYS:
            self.reference = freeze_partials(list(self.partials.values()), dt)
        return found


def freeze_partials(days: "Sequence[dict[str, Partial]]", dt: str) -> "tuple[FrozenBins, Any]":
    """Bins and pooled statistics of some days' sketches, as a training freezes them."""
    import pyarrow as pa

    from ok_ml.quality.statistics.bins import FrozenBins
    from ok_ml.quality.statistics.statistics_rows import merge_partials, statistics_table

    tables = [statistics_table(entity, merge_partials([day[entity] for day in days]), dt=dt) for entity in days[0]]
    table = pa.concat_tables(tables)
    return FrozenBins.from_statistics(table), table


def judge_drift(
    partials: "dict[str, Partial]", bins: "FrozenBins", reference: Any, limits: DriftConfig, dt: str
) -> Drift:
    """The worst features of a day, of those whose drift means something."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from ok_ml.features.declared.registry import FEATURES
    from ok_ml.quality.judges.drift import BLOCK, drift_table
    from ok_ml.quality.statistics.statistics_rows import statistics_table

    judged = pa.array([feature.name for feature in FEATURES if feature.judged == "level"], pa.string())
    tables = [
        statistics_table(entity, dict(_on_bins(entity, partial, bins)), dt=dt, bins=bins)
        for entity, partial in partials.items()
    ]
    now, then = (
        table.filter(pc.is_in(table["feature"], value_set=judged)) for table in (pa.concat_tables(tables), reference)
    )
    rows = drift_table(now, then, bins, limits).to_pylist()
    worst = max(rows, key=lambda row: row["psi"] or 0.0)
    return Drift(
        float(worst["psi"] or 0.0),
        max(float(row["js"] or 0.0) for row in rows),
        any(row["verdict"] == BLOCK for row in rows),
        f"{worst['entity']}/{worst['feature']}",
    )


def _on_bins(entity: str, partial: "Partial", bins: "FrozenBins") -> Iterator[tuple[str, Any]]:
    from ok_ml.quality.statistics.bins import counts_on

    for feature, column in partial.items():
        edges = bins.of(entity, feature)
        yield feature, column if edges is None else replace(column, bin_counts=counts_on(column, edges))
