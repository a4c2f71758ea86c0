"""Whether features jumped: from one day to the next, while the log behind them did not.

A distribution that wanders off the champion's reference is a network that changes: it warns, and triggers a training. What blocks is a
feature that is another one than yesterday and than a week ago, while the log of the day is as its own past lets expect: then it
is the computation that broke, not the world. Counts that only grow are held against the days before alone, ages against themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.monitoring.judges.drift_watch import compared_days, has_features, reference_bins
from ok_ml.monitoring.series.event_series import event_watch
from ok_ml.partitions import minus_days, window
from ok_ml.quality.judges.drift import drift_table
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.judges.what_blocks import feature_window_days
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.quality.statistics.bins import FeatureKey

JUMP: Final = "jump"  # statistic: the smaller PSI against the day before and the week before
OUT_OF_STEP: Final = "out_of_step_share"
_MOVED_SCORE: Final = 4.0  # of the worst of some hundred numbers: reached by chance on one window in twenty
_OUT_OF_STEP_MOST: Final = 0.01  # of the entities; a few may be corrected
_TABLE_OF: Final = {entity: table for table, entity in ENTITY_OF.items()}
_KEYS: Final = {"user": c.USER_ID, "source": c.SOURCE_ID}


@dataclass(frozen=True)
class Jumps:
    """How far each feature is from the days before.

    Attributes
    ----------
    psi
        (entity, feature) -> the smaller PSI beyond chance of the two comparisons.
    against
        The day before and the same weekday of the week before.
    silent
        Why nothing may block by it; empty: it may.
    """

    psi: "dict[FeatureKey, float]"
    against: tuple[str, ...] = ()
    silent: str = ""


def jumps_of(pipeline: Pipeline, dt: str) -> Jumps:
    """Compare a day's features with those of the day before and of the week before, on the champion's bins."""
    against = compared_days(pipeline, dt)
    missing = [day for day in against if not _is_comparable(pipeline, day)]
    if missing:
        return Jumps(
            {}, against, f"the statistics of {', '.join(missing)}, which would tell a jump from a drift, are not there"
        )
    tables = [_psi(pipeline, dt, day) for day in against]
    smaller = {key: min(table[key] for table in tables) for key in tables[0] if all(key in table for table in tables)}
    jumped = any(value > pipeline.config.checks.drift.psi_block for value in smaller.values())
    return Jumps(smaller, against, (_hole(pipeline, dt) or _log_moved(pipeline, dt)) if jumped else "")


def without_jump(pipeline: Pipeline, dt: str, findings: Sequence[Finding]) -> list[Finding]:
    """The findings of a day; drift from the reference that is no jump warns, and says so."""
    if not any(_is_drift(one) for one in findings):
        return list(findings)
    jumps, limit = jumps_of(pipeline, dt), pipeline.config.checks.drift.psi_block
    return [_softened(one, jumps, limit) if _is_drift(one) else one for one in findings]


def step_rules(pipeline: Pipeline, dt: str) -> Iterator[Rule]:
    """The rules of features that are not judged by their level: growing counts may not jump, ages move by the calendar."""
    growing = [one for one in pipeline.features if one.judged == "change" and one.name not in _not_judged(pipeline)]
    jumps = jumps_of(pipeline, dt) if growing else Jumps({})
    for feature in growing:
        seen = jumps.psi.get((feature.entity, feature.name))
        if seen is not None and not jumps.silent:
            yield Rule(
                feature.entity,
                feature.name,
                JUMP,
                seen,
                "block",
                high=pipeline.config.checks.drift.psi_block,
                about=f"{feature.entity} feature {feature.name}",
                note=f" (PSI against {' and '.join(jumps.against)}, the smaller one)",
                advice=f"the log of the day is as expected, so look at how it was computed; {_WAY_OUT.format(feature.name)}",
            )
    for feature in pipeline.features:
        if feature.judged == "entity" and feature.name not in _not_judged(pipeline):
            yield from _of_step(pipeline, dt, feature)


_WAY_OUT: Final = "if it is right, checks.drift.not_judged: [{}] takes it out"


def _not_judged(pipeline: Pipeline) -> tuple[str, ...]:
    return pipeline.config.checks.drift.not_judged


def _is_drift(one: Finding) -> bool:
    return not one.passed and one.severity == "block" and one.statistic in (q.PSI, q.JS)


def _softened(one: Finding, jumps: Jumps, limit: float) -> Finding:
    seen = jumps.psi.get((one.entity, one.feature))
    if jumps.silent:
        told = f"it blocks nothing: {jumps.silent}"
    elif seen is None or seen <= limit:
        told = f"it blocks nothing: it is a drift, no jump ({0.0 if seen is None else seen:.3f} against {' and '.join(jumps.against)})"
    else:
        told = f"it jumped ({seen:.3f} against {' and '.join(jumps.against)}) and the log did not; {_WAY_OUT.format(one.feature)}"
        return replace(one, advice="; ".join(part for part in (one.advice, told) if part))
    return replace(one, severity="warn", advice="; ".join(part for part in (one.advice, told) if part))


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
        found = watch.look(day) if pipeline.lake.find(dataset.dataset, c.EVENT_STATISTICS, day) is not None else []
        if not found:
            return f"the past of {day} is too short to tell whether its log moved too"
        if abs(found[0].band.score) > _MOVED_SCORE:
            return f"the log of {day} moved too: {found[0].message}"
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


def _psi(pipeline: Pipeline, dt: str, against: str) -> "dict[FeatureKey, float]":
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
        advice=f"see where the date that it counts from comes from; {_WAY_OUT.format(feature.name)}",
    )


_HALF_DAY: Final = 0.5


def _column(
    pipeline: Pipeline, table: str, dt: str, feature: Feature
) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    key = _KEYS[feature.entity]
    rows = pipeline.lake.read(pipeline.name, table, [dt], columns=[key, feature.name])
    return rows[key].to_numpy(), rows[feature.name].to_numpy()
