"""The numbers of the newest predictions, of any kind, against their declared limits."""

from dataclasses import dataclass, field
from typing import Final

from ok_ml import columns as c
from ok_ml.errors import GateRefused
from ok_ml.lake import Lake
from ok_ml.monitoring.series.live_history import live_history
from ok_ml.quality.statistics.number_series import Name, Number, read_days
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.prediction_kind import Limit

_LOOKED_BACK: Final = 28  # days that `since` looks back at most


@dataclass(frozen=True)
class BrokenLimit:
    """A number beyond its limit.

    Attributes
    ----------
    since
        First day of the unbroken run of days on which it is so.
    """

    limit: Limit
    seen: float
    since: str

    @property
    def message(self) -> str:
        """Which number, expected, seen, since when."""
        return f"{self.limit.metric}: expected {self.limit}, seen {self.seen:.4g}, since {self.since}"


@dataclass(frozen=True)
class LimitsVerdict:
    """What the declared limits say of the newest predictions.

    Attributes
    ----------
    what
        The predictions in a sentence: lists, label scores.
    broken
        What keeps them from being published.
    told
        What is beyond a limit and keeps nothing: `why` says why.
    """

    dt: str
    what: str
    broken: list[BrokenLimit]
    numbers: dict[Name, Number]
    told: list[BrokenLimit] = field(default_factory=list)
    why: str = ""

    @property
    def message(self) -> str:
        """What is wrong, or that nothing is."""
        wrong = [*self.broken, *self.told]
        if not wrong:
            return f"{self.dt}: the {self.what} keep all declared limits"
        silent = f". It blocks nothing: {self.why}" if self.told and not self.broken else ""
        return f"{self.dt}: " + "; ".join(one.message for one in wrong) + silent


def judge_limits(pipeline: Pipeline) -> LimitsVerdict:
    """The newest predictions' numbers against the limits of their kind.

    Raises
    ------
    GateRefused
        The newest predictions have no numbers, or those of another version.
    """
    lake, name, kind = pipeline.lake, pipeline.name, pipeline.kind
    dt = lake.latest(name, c.PREDICTIONS)
    if not pipeline.is_current(c.PREDICTION_STATISTICS, dt):
        raise GateRefused(
            f"{name}: the predictions of {dt} have no statistics of their current version",
            why=f"{kind.what} that were not checked could harm every user at once",
            remedy=f"materialise {name}/{c.PREDICTION_STATISTICS}; its check judges them",
        )
    before = [day for day in lake.partitions(name, c.PREDICTION_STATISTICS) if day < dt]
    days = read_days(lake, name, c.PREDICTION_STATISTICS, [*before[-_LOOKED_BACK:], dt])
    wrong = []
    for limit in kind.limits(pipeline):
        value = _value(days[dt], limit)
        if value is not None and not limit.holds(value):
            wrong.append(BrokenLimit(limit, value, _since(days, limit)))
    served = _numbers_served(lake, name, dt)
    broken = [one for one in wrong if one.limit.always or not _may(pipeline, dt, one.limit, served)]
    told = [one for one in wrong if one not in broken]
    nothing = f"nothing of {name} is served yet that could be protected"
    alike = f"the {kind.what} that are served now are beyond the same limit, or are those of another model"
    return LimitsVerdict(dt, kind.what, broken, days[dt], told, nothing if served is None else alike)


def _may(pipeline: Pipeline, dt: str, limit: Limit, served: dict[Name, Number] | None) -> bool:
    """Whether predictions may be beyond a limit: nothing is served, those that are served are too, or another model made them."""
    if served is None:
        return True
    if limit.of_model:
        lake, name = pipeline.lake, pipeline.name
        version = lake.manifest(name, c.PREDICTION_STATISTICS, dt).details["model_version"]
        if version != live_history(lake, name)[-1].model_version:
            return True
    return limit.as_served and not limit.holds(_value(served, limit))


def _numbers_served(lake: Lake, name: str, dt: str) -> dict[Name, Number] | None:
    """The numbers of the generation that is live, as they were counted; empty where they are gone, None where none is live."""
    history = live_history(lake, name)
    if not history:
        return None
    known = [
        one.data_dt for one in history if one.data_dt < dt and lake.find(name, c.PREDICTION_STATISTICS, one.data_dt)
    ]
    return read_days(lake, name, c.PREDICTION_STATISTICS, known[-1:])[known[-1]] if known else {}


def _value(numbers: dict[Name, Number], limit: Limit) -> float | None:
    found = numbers.get(Name(limit.metric))
    return found.value if found is not None else None


def _since(days: dict[str, dict[Name, Number]], limit: Limit) -> str:
    """First day of the run of broken days that ends with the newest one."""
    since = ""
    for dt in sorted(days, reverse=True):
        if limit.holds(_value(days[dt], limit)):
            break
        since = dt
    return since
