"""How far an experiment's features are from the champion's reference, and whether they jumped while the log behind them did not.

A distribution that wanders off the champion's reference is a network that changes: it warns, and triggers a training. What blocks is a
feature that is another one than yesterday and than a week ago, while the log of the day is as its own past lets expect: then it
is the computation that broke, not the world. Counts that only grow are held against the days before alone, ages against themselves.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.monitoring.judges.event_judge import event_watch
from ok_ml.monitoring.series.feature_counts import compared_days, has_features, reference_bins
from ok_ml.partitions import minus_days, window
from ok_ml.quality.judges.drift import WAY_OUT, Jumps, drift_table, jump_rules
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import REFERENCE_FILE, FeatureKey
from ok_ml.stages.blocked_days import feature_window_days
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.plot_files import plot_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUT_OF_STEP: Final = "out_of_step_share"
_MOVED_SCORE: Final = 4.0  # of the worst of some hundred numbers: reached by chance on one window in twenty
_OUT_OF_STEP_MOST: Final = 0.01  # of the entities; a few may be corrected
_HALF_DAY: Final = 0.5
_TABLE_OF: Final = {entity: table for table, entity in ENTITY_OF.items()}
_KEYS: Final = {"user": c.USER_ID, "source": c.SOURCE_ID}


def drift_of(pipeline: Pipeline, dt: str) -> pa.Table | None:
    """Every feature of a day against the champion's reference; None before there is a champion."""
    import pyarrow.parquet as pq

    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    bins = reference_bins(pipeline)
    if champion is None or bins is None:
        return None
    current = pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [dt])
    reference = pq.read_table(pipeline.lake.folder(champion) / REFERENCE_FILE)
    now, then = (_judged_features(pipeline, table) for table in (current, reference))
    return drift_table(now, then, bins, pipeline.config.checks.drift)


def _judged_features(pipeline: Pipeline, statistics: pa.Table) -> pa.Table:
    """The rows of the features whose drift means something."""
    import pyarrow.compute as pc

    from ok_ml.features.declared.registry import by_name

    unjudged = [by_name(name, pipeline.features).name for name in pipeline.config.checks.drift.not_judged]
    unjudged += [feature.name for feature in pipeline.features if feature.judged != "level"]
    return statistics.filter(pc.invert(pc.is_in(statistics["feature"], value_set=pa.array(unjudged, pa.string()))))


def drift_rows(pipeline: Pipeline, dt: str) -> list[dict[str, Any]]:
    """The drift table, worst first, for people."""
    table = drift_of(pipeline, dt)
    shown = ("entity", "feature", "verdict", "psi", "js", "mean_now", "mean_reference", "null_share", "moved")
    return [{name: row[name] for name in shown} for row in table.to_pylist()] if table is not None else []


def plot_drift(pipeline: Pipeline, dt: str) -> Path | None:
    """A chart of the most drifted features with the limits; None before there is a champion."""
    from ok_ml.quality.plots.evaluation_plots import psi_chart

    table = drift_of(pipeline, dt)
    if table is None:
        return None
    limits, path = pipeline.config.checks.drift, plot_path(pipeline, f"drift-{dt}.png")
    psi_chart(table, psi_warn=limits.psi_warn, psi_block=limits.psi_block, path=path)
    return path


# -- jumps ----------------------------------------------------------------------------------------


def jumps_of(pipeline: Pipeline, dt: str) -> Jumps:
    """Compare a day's features with those of the day before and of the week before, on the champion's bins."""
    against = compared_days(pipeline, dt)
    missing = [day for day in against if not _is_comparable(pipeline, day)]
    if missing:
        silent = f"the statistics of {', '.join(missing)}, which would tell a jump from a drift, are not there"
        return Jumps({}, against, silent)
    tables = [_psi(pipeline, dt, day) for day in against]
    smaller = {key: min(table[key] for table in tables) for key in tables[0] if all(key in table for table in tables)}
    jumps = Jumps(smaller, against)
    jumped = jumps.any_beyond(pipeline.config.checks.drift)
    return replace(jumps, silent=_hole(pipeline, dt) or _log_moved(pipeline, dt)) if jumped else jumps


def step_rules(pipeline: Pipeline, dt: str, jumps: Callable[[], Jumps]) -> Iterator[Rule]:
    """The rules of features that are not judged by their level: growing counts may not jump, ages move by the calendar.

    Parameters
    ----------
    jumps
        Those of the day, asked for where a feature grows.
    """
    drift = pipeline.config.checks.drift
    judged = [one for one in pipeline.features if one.name not in drift.not_judged]
    growing = [(one.entity, one.name) for one in judged if one.judged == "change"]
    if growing:
        yield from jump_rules(growing, jumps(), drift)
    for feature in judged:
        if feature.judged == "entity":
            yield from _of_step(pipeline, dt, feature)


def _log_moved(pipeline: Pipeline, dt: str) -> str:
    """Whether something in the log explains features that moved: any number of any day in their windows that is not quite usual.

    A score far below the limit is enough: a burst that this log is used to is no finding, and moves features all the same.
    """
    project, dataset = pipeline.project, pipeline.dataset
    if not isinstance(dataset, DatasetConfig):
        return "texts have no log that could have moved with them"
    if dataset.partition.grain != "day":
        return "the log of months is not held against its past, so whether it moved too is unknown"
    watch = event_watch(project, dataset, pipeline.lake)
    for day in reversed(window(pipeline.committed(), dt, feature_window_days(project, pipeline.name) + 1)):
        is_counted = pipeline.lake.find(dataset.dataset, c.EVENT_STATISTICS, day) is not None
        worst = next(iter(watch.look(day)), None) if is_counted else None
        if worst is None:
            return f"the past of {day} is too short to tell whether its log moved too"
        if abs(worst.band.score) > _MOVED_SCORE:
            return f"the log of {day} moved too: {worst.message}"
    return ""


def _hole(pipeline: Pipeline, dt: str) -> str:
    """Which days the windows of a day lack, unless they lacked those of the week before too: what is closed on Sundays is no hole.

    A day that is missing, or blocked, wanders through the windows: no user was shown anything three days ago, then four.
    """
    holes, before = (_lacking(pipeline, end) for end in (dt, minus_days(dt, 7)))
    fresh = sorted({*holes} ^ {minus_days(day, -7) for day in before})
    return f"windows have a hole: {', '.join(fresh)}" if fresh else ""


def _lacking(pipeline: Pipeline, end: str) -> list[str]:
    """Days of the longest window of features that it does not hold, as far back as the log goes."""
    known, days = pipeline.committed(), feature_window_days(pipeline.project, pipeline.name)
    wanted = [minus_days(end, back) for back in range(days)]
    return [day for day in wanted if day not in known and day >= known[0]]


def _is_comparable(pipeline: Pipeline, dt: str) -> bool:
    """Whether a day's statistics were counted on the champion's bins, from its present features: the stage sees to that."""
    return has_features(pipeline, dt) and pipeline.is_current(c.FEATURE_STATISTICS, dt)


def _psi(pipeline: Pipeline, dt: str, against: str) -> dict[FeatureKey, float]:
    bins = reference_bins(pipeline)
    if bins is None:
        return {}
    now, then = (pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [day]) for day in (dt, against))
    table = drift_table(now, then, bins, pipeline.config.checks.drift)
    return {(row[q.ENTITY], row[q.FEATURE]): row[q.PSI] for row in table.to_pylist() if row[q.PSI] is not None}


# -- each entity against itself -----------------------------------------------------------------------------------


def _of_step(pipeline: Pipeline, dt: str, feature: Feature) -> Iterator[Rule]:
    """An age is yesterday's and one day more, where it is known on both days."""
    yesterday, table = minus_days(dt, 1), _TABLE_OF[feature.entity]
    if feature.entity not in _KEYS or any(
        pipeline.lake.find(pipeline.name, table, day) is None for day in (dt, yesterday)
    ):
        return
    (now_ids, now), (then_ids, then) = (_column(pipeline, table, day, feature) for day in (dt, yesterday))
    both, at_now, at_then = np.intersect1d(now_ids, then_ids, assume_unique=True, return_indices=True)
    if not len(both):
        return
    wrong = np.abs(now[at_now] - then[at_then] - 1) > _HALF_DAY
    wrong &= (now[at_now] != feature.absent) | (then[at_then] != feature.absent)  # unknown on both days: no age
    yield Rule(
        feature.entity,
        feature.name,
        OUT_OF_STEP,
        float(wrong.mean()),
        "block",
        high=_OUT_OF_STEP_MOST,
        about=f"{feature.entity} feature {feature.name}",
        note=f" of {len(both):,} that were there on {yesterday}",
        expected=f"<= {_OUT_OF_STEP_MOST:g}, each a day older than on {yesterday}",
        advice=f"see where the date that it counts from comes from; {WAY_OUT.format(feature.name)}",
    )


def _column(
    pipeline: Pipeline, table: str, dt: str, feature: Feature
) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    key = _KEYS[feature.entity]
    rows = pipeline.lake.read(pipeline.name, table, [dt], columns=[key, feature.name])
    return rows[key].to_numpy(), rows[feature.name].to_numpy()
