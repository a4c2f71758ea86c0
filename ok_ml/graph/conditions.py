"""When assets run by themselves, and when they are late. Each condition says why it is as it is.

Two kinds stand here. What starts a run is a `Fact`: it asks what is the case (is the newest day predicted, is the model
old), never what has just happened, so that a restart, a lost tick or a backfill of an old partition cannot start anything.
What goes along in a run, or after one, follows from Dagster's own events.

Nothing here depends on the wall clock's latest time window: days are data, and a new day is a commit. What is meant by the
wall clock is Dagster's own condition on the freshness policy that people see.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import dagster as dg

from ok_ml.columns import CHAMPION, FEATURE_STATISTICS
from ok_ml.graph.automation_state import AutomationState, Sight, held_back
from ok_ml.graph.keys import asset_key
from ok_ml.release.automation.retraining import KINDS, Answer, Facts, Kind, aged, causes, overdue
from ok_ml.stages.stage import Follows, Joins, Phase, Stage, Starts

if TYPE_CHECKING:
    from ok_ml.config.models import Project

Condition: TypeAlias = dg.AutomationCondition[Any]

_SECONDS_A_DAY = 86_400.0
_LEAST_SECONDS = 60.0  # Dagster refuses shorter freshness windows
# A training starts when the model is as old as it may be. It is late only when that, and a retry on the next day, failed.
TRAINING_GRACE_DAYS: Final = 2.0


# -- freshness -----------------------------------------------------------------------------------------------------


def day_seconds(project: "Project", dataset: str) -> float:
    """Wall seconds of one day of a dataset: the world clock's for the simulated one, else a real day."""
    simulated = project.datasets[dataset].world is not None and project.environment.world_clock.dataset == dataset
    return project.environment.world_clock.day_seconds if simulated else _SECONDS_A_DAY


def freshness(days: float, seconds_a_day: float) -> dg.FreshnessPolicy:
    """Stale (FAIL) `days` of data time after the last materialisation; a warning at three quarters of it.

    What the UI shows as fresh or stale. Dagster looks at the newest materialisation of any partition, so for partitioned
    assets a backfill would look fresh: only the champion's, which has none, starts something.
    """
    fail = max(days * seconds_a_day, _LEAST_SECONDS + 15)
    warn = max(fail * 0.75, _LEAST_SECONDS)
    # Whole seconds: the webserver has an integer for them and fails on anything else.
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(seconds=round(fail)), warn_window=timedelta(seconds=round(warn))
    )


def condition_of(automation: AutomationState, experiment: str, stage: Stage[Any]) -> Condition | None:
    """When a stage is made automatically; None: with its phase."""
    match stage.trigger:
        case Starts():
            starts = {Phase.TRAINING: retrain, Phase.SERVING: predict_new}
            return starts[stage.phase](automation, experiment)
        case Joins(other):
            return join(experiment, other)
        case Follows(other):
            return follow(experiment, other)
    return None


# -- facts ---------------------------------------------------------------------------------------------------------


class _Answering(dg.AutomationCondition[dg.AssetKey]):
    """A condition whose answer, `said`, is given in words; it remembers nothing."""

    said: str

    @property
    def description(self) -> str:
        """A changed answer makes a new evaluation in the history."""
        return self.said

    @property
    def requires_cursor(self) -> bool:
        """It remembers nothing."""
        return False


@dataclass(frozen=True)
class Fact(_Answering):
    """Something that is the case with an experiment or is not; the UI shows the answer's own words.

    Parameters
    ----------
    title
        What it is called before it was asked.
    look
        Sight -> whether it holds, and the sentence that the evaluation shows.
    """

    title: str
    experiment: str
    automation: AutomationState
    look: Callable[[Sight], Answer]
    said: str = ""

    @property
    def name(self) -> str:
        """What tells it from its neighbours."""
        return self.title

    def get_label(self) -> str:
        """The answer, or the title before the first one."""
        return f"{self.title}: {self.said}" if self.said else self.title

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        """True for the whole asset or not at all."""
        sight = self.automation.at(self.experiment, context.asset_graph_view.instance, context.evaluation_time)
        answer = self.look(sight)
        true = context.candidate_subset if answer.holds else context.get_empty_subset()
        return dg.AutomationResult(replace(context, condition=replace(self, said=answer.text)), true_subset=true)


@dataclass(frozen=True)
class Safe(_Answering):
    """No blocking check of what an asset is made from holds it back, and each has been made.

    What is about to run in the same run will be checked there, or that run ends. A warning is reported and holds nothing back:
    Dagster's `check_passed` is false for it too, which stopped every batch for as long as one feature was a little off. One
    condition for all upstream, directly below an `&`: Dagster finds conditions of our own only there, and cannot tell the
    webserver of the graph where they are deeper.

    Parameters
    ----------
    also
        Assets that count as upstream besides those that are.
    """

    also: tuple[dg.AssetKey, ...] = ()
    said: str = ""

    def get_label(self) -> str:
        """The answer, or the title before the first one."""
        return f"blocking checks: {self.said}" if self.said else "blocking checks"

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        """True for the whole asset or not at all."""
        graph, requested = context.asset_graph, context.request_subsets_by_key
        upstream = {*graph.get(context.key).parent_keys, *self.also}
        apart = [key for key in upstream if key not in requested or requested[key].is_empty]
        checks = [one for key in apart for one in graph.get(key).check_keys if graph.get(one).blocking]
        held = held_back(context.asset_graph_view.instance, checks)
        true = context.get_empty_subset() if held else context.candidate_subset
        return dg.AutomationResult(
            replace(context, condition=replace(self, said=held or "none fails")), true_subset=true
        )


# -- training ------------------------------------------------------------------------------------------------------

_TITLES: Final[dict[Kind, str]] = {
    "absent": "no model", "config": "configuration", "code": "code", "online": "online metrics", "drift": "drift",
    "stale": "age of the model",
}  # fmt: skip


def retrain(automation: AutomationState, experiment: str) -> Condition:
    """Start a training: something calls for it, a training may start for that, and the newest day may be learnt from.

    What calls is in `pipelines.retraining`, each with its reason: no model, another configuration or code, worse online
    metrics, drift that stays, age. A cause that a training could not remove is delayed by the cool-down, a training
    that failed is tried again a bounded number of times. Nothing is learnt from a day whose features are missing,
    unchecked or blocked, or while any blocking check of them or of the events fails; and nothing starts while a run makes
    what would be read.
    """
    calls = _any([_cause(automation, experiment, kind) for kind in KINDS])
    safe = Safe((asset_key(experiment, FEATURE_STATISTICS),))
    return (calls & _learnable(automation, experiment) & safe & _alone(automation, experiment)).with_label(
        "a training is called for"
    )


def _cause(automation: AutomationState, experiment: str, kind: Kind) -> Condition:
    """One cause, and whether it is its turn: both are shown, since a cause that waits is worth knowing."""

    def holds(sight: Sight) -> Answer:
        cause = causes(sight.facts).get(kind)
        return cause.holds if cause is not None else Answer(False, "not listened to")

    def due(sight: Sight) -> Answer:
        cause = causes(sight.facts).get(kind)
        return cause.due if cause is not None else Answer(False, "not listened to")

    there = _old(automation, experiment) if kind == "stale" else Fact(_TITLES[kind], experiment, automation, holds)
    may = Fact("cool-down and retries", experiment, automation, due)
    return (there & may).with_label(_TITLES[kind])


def _old(automation: AutomationState, experiment: str) -> Condition:
    """The model is old by its days of data, or Dagster's own freshness policy of the champion failed and there is a new day.

    Of an experiment that never had a champion the policy's state is unknown, which is no failure: its first training has a cause
    of its own. The champion has no partitions, so that the state is that of the one thing there is.
    """

    def asked(look: Callable[[Facts], Answer]) -> Callable[[Sight], Answer]:
        return lambda sight: (
            look(sight.facts) if "stale" in sight.facts.limits.causes else Answer(False, "not listened to")
        )

    champion = asset_key(experiment, CHAMPION)
    failed = dg.AutomationCondition.asset_matches(champion, dg.AutomationCondition.freshness_failed())
    old = Fact(_TITLES["stale"], experiment, automation, asked(aged))
    return old | (failed & Fact("new days", experiment, automation, asked(overdue)))


def _learnable(automation: AutomationState, experiment: str) -> Condition:
    """The newest day's features are there, checked and not blocked."""

    def look(sight: Sight) -> Answer:
        return Answer(sight.facts.wait is None, sight.facts.wait or f"{sight.facts.today} is checked and not blocked")

    return Fact("the newest day", experiment, automation, look)


def _alone(automation: AutomationState, experiment: str) -> Condition:
    """No run of this experiment, or of its data, is queued or running: what it makes would be read half made."""

    def look(sight: Sight) -> Answer:
        return Answer(sight.busy is None, sight.busy or "no run makes what it reads")

    return Fact("nothing runs", experiment, automation, look)


def join(experiment: str, table: str) -> Condition:
    """Run where `table` of this experiment is about to run, in the same run, and at no other time.

    The steps of a training: one that failed is tried again with the whole training, not by itself at once.
    """
    upstream = dg.AssetSelection.assets(asset_key(experiment, table))
    joined = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested()).allow(upstream)
    return joined.with_label(f"joins {table}")


# -- serving -------------------------------------------------------------------------------------------------------


def predict_new(automation: AutomationState, experiment: str) -> Condition:
    """Start a batch: the newest day is not predicted from its features by the present champion, and was not asked for.

    Once for each input, so that a batch runs once however often its causes are reported; one that failed waits for another
    day, another champion or a person, since what may be transient is retried within the run. Never in the run of a
    training: if that fails, the day is still predicted by the present champion, and one that ends well is waited for.
    """

    def wanted(sight: Sight) -> Answer:
        return sight.batch.wanted

    def once(sight: Sight) -> Answer:
        return Answer(not sight.asked, f"{sight.batch.dt} was asked for before" if sight.asked else "not yet")

    apart = ~dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    calls = Fact("predictions", experiment, automation, wanted) & Fact("asked for", experiment, automation, once)
    return (calls & apart & Safe() & _alone(automation, experiment)).with_label("the newest day is not predicted")


def follow(experiment: str, *tables: str) -> Condition:
    """Run after any of `tables` of this experiment, in the same run where they are about to run.

    Blocking checks of everything upstream must have passed; of what is about to run in the same run they will be, or
    that run ends there.
    """
    requested = dg.AutomationCondition.will_be_requested()
    moved = _any_of(experiment, tables, dg.AutomationCondition.newly_updated()).since_last_handled()
    wanted = moved | _any_of(experiment, tables, requested)
    return (wanted & Safe() & _idle()).with_label(f"follows {', '.join(tables)}")


# -- small ones ----------------------------------------------------------------------------------------------------


def _idle() -> Condition:
    """Neither this asset nor what it reads is being made."""
    return ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()


def _any_of(experiment: str, tables: tuple[str, ...], condition: Condition) -> Condition:
    upstream = dg.AssetSelection.assets(*(asset_key(experiment, table) for table in tables))
    return dg.AutomationCondition.any_deps_match(condition).allow(upstream)


def _any(conditions: list[Condition]) -> Condition:
    return reduce(or_, conditions)
