"""When assets run by themselves, and when they are late. Each condition says why it is as it is.

Nothing here hangs on the wall clock's latest time window: days are data, and a new day is a commit.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from ok_ml.columns import CHAMPION, EMBEDDINGS, EVALUATION, FEATURE_STATISTICS, MODEL, TRAINING_SET
from ok_ml.keys import asset_key

if TYPE_CHECKING:
    from ok_ml.config.models import Project

Condition: TypeAlias = dg.AutomationCondition[Any]

_SECONDS_A_DAY = 86_400.0
_LEAST_SECONDS = 60.0  # Dagster refuses shorter freshness windows


def day_seconds(project: "Project", dataset: str) -> float:
    """Wall seconds of one day of a dataset: the world clock's for the simulated one, else a real day."""
    simulated = project.datasets[dataset].world is not None and project.environment.world_clock.dataset == dataset
    return project.environment.world_clock.day_seconds if simulated else _SECONDS_A_DAY


def freshness(days: float, seconds_a_day: float) -> dg.FreshnessPolicy:
    """Stale (FAIL) `days` of data time after the last materialisation; a warning at three quarters of it."""
    fail = max(days * seconds_a_day, _LEAST_SECONDS + 15)
    warn = max(fail * 0.75, _LEAST_SECONDS)
    # Whole seconds: the webserver has an integer for them and fails on anything else.
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(seconds=round(fail)), warn_window=timedelta(seconds=round(warn))
    )


def _idle() -> Condition:
    return ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()


def _passed() -> Condition:
    """The newest results of all blocking checks of an asset are good; an asset that was never checked is not."""
    return dg.AutomationCondition.all_checks_match(dg.AutomationCondition.check_passed(), blocking_only=True)


def _of(experiment: str, table: str, condition: Condition) -> Condition:
    return dg.AutomationCondition.asset_matches(asset_key(experiment, table), condition)


def retrain_when_stale(experiment: str) -> Condition:
    """Start a training: nothing was ever promoted, or the last decision about the champion has just gone stale, or it
    is still stale on a new day.

    The champion is judged, not the model: its decision ends a training, so a training that failed anywhere leaves it
    stale. `freshness_failed` is a state, not an event: alone it would request a run at every tick. `newly_true` fires
    once; the retry after a failed training waits for the next committed day, which bounds retries to one a day. What
    was never decided is UNKNOWN, never FAIL, so the first training has a clause of its own. Freshness is judged every
    half minute, so a champion of a moment ago is still called stale: that is not listened to until it has been judged
    again. Nothing is learnt from a day whose features are blocked.
    """
    decided = _of(experiment, CHAMPION, dg.AutomationCondition.newly_updated())
    fresh = _of(experiment, CHAMPION, dg.AutomationCondition.freshness_passed())
    stale = _of(experiment, CHAMPION, dg.AutomationCondition.freshness_failed()) & ~decided.since(fresh)
    absent = _of(experiment, CHAMPION, dg.AutomationCondition.missing())
    new_day = _of(experiment, FEATURE_STATISTICS, dg.AutomationCondition.newly_updated())
    training = _of(experiment, CHAMPION, dg.AutomationCondition.in_progress())
    wanted: Condition = stale.newly_true() | ((stale | absent) & new_day)
    safe = _of(experiment, FEATURE_STATISTICS, _passed())
    return (wanted.since_last_handled() & safe & ~training & _idle()).with_label("the model is stale or absent")


def join(experiment: str, table: str) -> Condition:
    """Run where `table` of this experiment is about to run, in the same run, and at no other time.

    The steps of a training: one that failed is tried again with the whole training, not by itself at once.
    """
    upstream = dg.AssetSelection.assets(asset_key(experiment, table))
    joined = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested()).allow(upstream)
    return joined.with_label(f"joins {table}")


def follow(experiment: str, *tables: str) -> Condition:
    """Run after any of `tables` of this experiment, in the same run where they are about to run.

    Blocking checks of everything upstream must have passed; of what is about to run in the same run they will be, or
    that run ends there.
    """
    moved = dg.AutomationCondition.newly_updated() | dg.AutomationCondition.will_be_requested()
    safe = dg.AutomationCondition.all_deps_match(dg.AutomationCondition.will_be_requested() | _passed())
    wanted = _any_of(experiment, tables, moved).since_last_handled()
    return (wanted & safe & _idle()).with_label(f"follows {', '.join(tables)}")


def follow_apart(experiment: str, *tables: str) -> Condition:
    """Run after any of `tables` of this experiment, never in their run: if that fails, this one goes on without it.

    So a training that fails does not keep a new day from its predictions by the present champion, and one that ends
    well is waited for. Blocking checks of everything upstream must have passed. Missing partitions upstream do not
    matter: features are committed only for the days that somebody needs, and what is really missing is an error of the
    step itself.
    """
    wanted = _any_of(experiment, tables, dg.AutomationCondition.newly_updated()).since_last_handled()
    apart = ~dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    safe = dg.AutomationCondition.all_deps_match(_passed())
    return (wanted & apart & safe & _idle()).with_label(f"follows {', '.join(tables)} in a run of its own")


def _any_of(experiment: str, tables: tuple[str, ...], condition: Condition) -> Condition:
    upstream = dg.AssetSelection.assets(*(asset_key(experiment, table) for table in tables))
    return dg.AutomationCondition.any_deps_match(condition).allow(upstream)


# Each step of a training and the step that it joins; the first starts it.
TRAINING_ORDER = {TRAINING_SET: EMBEDDINGS, MODEL: TRAINING_SET, EVALUATION: MODEL, CHAMPION: EVALUATION}
