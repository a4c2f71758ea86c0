"""The recipe of an experiment, picked before anything is computed with one.

Each recipe is trained and judged as an attempt whose newest day is the one before the judged days of the experiment: what
the model is later judged on is looked at by no recipe. They are compared on the same users; the first one, the simplest,
is replaced only by one that is significantly better.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ok_ml.config.recipes import RecipeChoice, Tried
from ok_ml.errors import DataError
from ok_ml.release.trials.attempts import Say, open_attempt, train_attempt
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.bootstrap import Interval


class Budget:
    """CPU time that a pick may take, from its making on.

    Parameters
    ----------
    clock
        CPU seconds of this process and of what it started, counted from anywhere.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds, self._clock, self._began = seconds, clock, clock()

    @property
    def spent(self) -> float:
        """Seconds until now."""
        return self._clock() - self._began

    def require(self) -> None:
        """End a recipe when nothing is left."""
        if self.spent >= self.seconds:
            raise _Spent


class _Spent(Exception):  # noqa: N818 - it ends a recipe in the middle, nothing is wrong
    """The budget is used up."""


@dataclass
class _Judged:
    """What was found out about recipes.

    Attributes
    ----------
    values
        Recipe -> the metric of each user, the same users for all.
    """

    metric: str = ""
    days: str = ""
    values: "dict[str, NDArray[np.float64]]" = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    not_tried: dict[str, str] = field(default_factory=dict)


def pick_recipe(pipeline: Pipeline, session: Callable[[], Any], budget: Budget, *, say: Say) -> RecipeChoice:
    """Try the recipes of an experiment and choose one; what they computed is removed again.

    Parameters
    ----------
    session
        Gives a Spark session; called only if a recipe is tried.
    """
    recipes, upto, judged = pipeline.project.recipes[pipeline.name], pipeline.calendar().eval_cut, _Judged()
    attempts = {name: open_attempt(pipeline, config, upto) for name, config in recipes.items()}
    try:
        for name, attempt in attempts.items():
            _try(name, attempt, judged, session, budget, say)
    finally:
        for attempt in attempts.values():
            shutil.rmtree(attempt.lake.root / attempt.name, ignore_errors=True)
    return _choice(pipeline, judged, budget)


def _try(name: str, attempt: Pipeline, judged: _Judged, session: Callable[[], Any], budget: Budget, say: Say) -> None:
    """Judge one recipe, or note why not."""
    left, least = budget.seconds - budget.spent, min(judged.seconds.values(), default=0.0)
    if left <= least:
        judged.not_tried[name] = f"{max(left, 0):.0f} s of CPU time were left of {budget.seconds:.0f}"
        return

    def go_on(text: str) -> None:
        budget.require()
        say(text)

    say(f"trying     recipe {name} on days up to {attempt.upto}")
    before = budget.spent
    try:
        judged.values[name] = _values(attempt, judged, session, go_on)
    except DataError as error:
        judged.not_tried[name] = str(error).partition("\n")[0]
    except _Spent:
        judged.not_tried[name] = f"not through when the {budget.seconds:.0f} s of CPU time were used up"
    judged.seconds[name] = budget.spent - before


def _values(attempt: Pipeline, judged: _Judged, session: Callable[[], Any], say: Say) -> "NDArray[np.float64]":
    """The gate's metric of each case, of a model with this configuration."""
    train_attempt(attempt, session, say=say)
    evaluator = attempt.evaluator()
    if not evaluator.cases:
        raise DataError(evaluator.nothing)
    say(f"judging on {evaluator.about}")
    judged.metric, values = evaluator.by_case(evaluator.newest())
    judged.days = attempt.evaluated_days()
    return values


def _choice(pipeline: Pipeline, judged: _Judged, budget: Budget) -> RecipeChoice:
    chosen, tried = _best(judged.values), list(judged.values)
    first = next(iter(pipeline.project.recipes[pipeline.name]))
    differences = {name: _difference(judged, name, tried[0]) for name in tried}
    users = next((interval.users for interval in differences.values()), 0)
    return RecipeChoice(
        experiment=pipeline.name,
        recipe=chosen or first,
        why=_why(chosen, differences, judged),
        metric=judged.metric or pipeline.config.gate.metric,
        days=judged.days,
        users=users,
        cpu_seconds=round(budget.spent, 1),
        date=datetime.now(UTC).date().isoformat(),
        tried=tuple(
            Tried(
                recipe=name,
                estimate=round(float(judged.values[name].mean()), 4),
                difference=round(one.estimate, 4),
                low=round(one.low, 4),
                high=round(one.high, 4),
                cpu_seconds=round(judged.seconds[name], 1),
            )
            for name, one in differences.items()
        ),
        not_tried=judged.not_tried,
    )


def _best(values: "dict[str, NDArray[np.float64]]") -> str | None:
    """The first recipe, unless one after it is better beyond chance; then that one, and so on."""
    from ok_ml.quality.ranking.bootstrap import paired_difference

    best: str | None = None
    for name, mine in values.items():
        if best is None or paired_difference(mine, values[best]).low > 0:
            best = name
    return best


def _difference(judged: _Judged, name: str, baseline: str) -> "Interval":
    from ok_ml.quality.ranking.bootstrap import paired_difference

    return paired_difference(judged.values[name], judged.values[baseline])


def _why(chosen: str | None, differences: "dict[str, Interval]", judged: _Judged) -> str:
    if chosen is None:
        return f"the first, the simplest: none could be tried ({'; '.join(dict.fromkeys(judged.not_tried.values()))})"
    names = list(differences)
    if len(names) == 1:
        return "the only one that could be tried"
    if chosen == names[0]:
        return f"the simplest: no other one is better by {judged.metric} beyond chance"
    one = differences[chosen]
    return f"better than {names[0]} by {one.estimate:+.4f} {judged.metric}, 95 % interval {one.low:+.4f} .. {one.high:+.4f}"
