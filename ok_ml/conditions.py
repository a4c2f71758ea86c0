"""When assets run by themselves, and when they are late. Each condition says why it is as it is.

Nothing here hangs on the wall clock's latest time window: days are data, and a new day is a commit.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from ok_ml.columns import EMBEDDINGS, FEATURE_STATISTICS, TRAINING_SET
from ok_ml.keys import CHAMPION, EVALUATION, MODEL, asset_key

if TYPE_CHECKING:
    from ok_ml.config.models import Project

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
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(seconds=fail), warn_window=timedelta(seconds=warn))


def _idle() -> dg.AutomationCondition:
    return ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()


def retrain_when_stale(experiment: str) -> dg.AutomationCondition:
    """Start a training: there is no model yet, or the model has just gone stale, or it is still stale on a new day.

    `freshness_failed` is a state, not an event: alone it would request a run at every tick. `newly_true` fires once;
    the retry after a failed training waits for the next committed day, which bounds retries to one a day. A model
    that was never trained is UNKNOWN, never FAIL, so the first training has a clause of its own.
    """
    stale = dg.AutomationCondition.asset_matches(asset_key(experiment, MODEL), dg.AutomationCondition.freshness_failed())
    absent = dg.AutomationCondition.asset_matches(asset_key(experiment, CHAMPION), dg.AutomationCondition.missing())
    new_day = dg.AutomationCondition.asset_matches(
        asset_key(experiment, FEATURE_STATISTICS), dg.AutomationCondition.newly_updated()
    )
    wanted = stale.newly_true() | ((stale | absent) & new_day)
    return (wanted.since_last_handled() & _idle()).with_label("the model is stale or absent")


def follow(experiment: str, *tables: str) -> dg.AutomationCondition:
    """Run after any of `tables` of this experiment, in the same run where they are about to run.

    Blocking checks of everything upstream must have passed. Missing partitions upstream do not matter: features are
    committed only for the days that somebody needs, and what is really missing is an error of the step itself.
    """
    upstream = dg.AssetSelection.assets(*(asset_key(experiment, table) for table in tables))
    moved = dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.newly_updated() | dg.AutomationCondition.will_be_requested()
    ).allow(upstream)
    safe = dg.AutomationCondition.all_deps_blocking_checks_passed()
    return (moved.since_last_handled() & safe & _idle()).with_label(f"follows {', '.join(tables)}")


TRAINING_ORDER = {TRAINING_SET: (EMBEDDINGS,), MODEL: (TRAINING_SET,), EVALUATION: (MODEL,), CHAMPION: (EVALUATION,)}
