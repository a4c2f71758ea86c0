"""The verdict on the newest predictions: what users would notice at once, declared limits of their numbers, expectations."""

from typing import Final

from ok_ml import columns as c
from ok_ml.errors import GateRefused
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.expectation_judge import expectation_findings
from ok_ml.monitoring.judges.expectation_results import Expected
from ok_ml.monitoring.series.live_history import live_history
from ok_ml.partitions import run_start
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import LISTS_VERDICT, Verdict, commit, verdict_of
from ok_ml.quality.statistics.number_series import Name, Number, read_days
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.prediction_kind import Limit

LIMITS: Final = "limits"  # kind of findings
_LOOKED_BACK: Final = 28  # days that `since` looks back at most
_Days = dict[str, dict[Name, Number]]


def judge_predictions(pipeline: Pipeline, look: Verdict | None = None) -> Verdict:
    """Judge the newest predictions and keep the verdict that publication asks for.

    While the present predictions have no statistics only they themselves are judged.

    Parameters
    ----------
    look
        What `PredictionKind.look` has said of them, where it was asked already.
    """
    lake, name, kind = pipeline.lake, pipeline.name, pipeline.kind
    dt = lake.latest(name, c.PREDICTIONS)
    findings = [*(look or kind.look(pipeline)).findings]
    counted = pipeline.is_current(c.PREDICTION_STATISTICS, dt)
    findings += judge_limits(pipeline, dt) if counted else []
    tables = [c.PREDICTIONS, *([c.PREDICTION_STATISTICS] if counted else [])]
    findings += expectation_findings(Expected.of(pipeline.project, name).within(tables), dt)
    limits = str([(str(one), one.metric) for one in kind.limits(pipeline)])
    verdict = verdict_of(lake, name, LISTS_VERDICT, dt, findings)
    return commit(lake, verdict, inputs={"predictions": verdict.version, "limits": limits})


def require_predictions(pipeline: Pipeline) -> None:
    """Publication judges again: a check binds only its own run.

    Raises
    ------
    GateRefused
        The newest predictions are broken, or beyond a declared limit that is not accepted, or were not counted.
    """
    verdict = judge_predictions(pipeline)
    if verdict.blocks:
        causes = "; ".join(one.message for one in verdict.failed if one.severity == "block")
        raise GateRefused(
            f"{pipeline.name}: the {pipeline.kind.what} of {verdict.dt}: {causes}",
            why="they would reach all users; what is served stays",
            remedy=f"{verdict.command} if the change is real; else correct the data or the model and predict again, "
            f"see the plots of {pipeline.name}/{c.PREDICTION_STATISTICS}, or change checks.predictions",
        )
    require_counted(pipeline, verdict.dt)


def require_counted(pipeline: Pipeline, dt: str) -> None:
    """Raise GateRefused if the newest predictions have no numbers, or those of another version."""
    if not pipeline.is_current(c.PREDICTION_STATISTICS, dt):
        raise GateRefused(
            f"{pipeline.name}: the predictions of {dt} have no statistics of their current version",
            why=f"{pipeline.kind.what} that were not checked could harm every user at once",
            remedy=f"materialise {pipeline.name}/{c.PREDICTION_STATISTICS}; its check judges them",
        )


# -- limits ----------------------------------------------------------------------------------------------------------


def judge_limits(pipeline: Pipeline, dt: str) -> list[Finding]:
    """The numbers of a day's predictions against the limits of their kind: one finding a limit whose number is known."""
    lake, name = pipeline.lake, pipeline.name
    before = [day for day in lake.partitions(name, c.PREDICTION_STATISTICS) if day < dt]
    days = read_days(lake, name, c.PREDICTION_STATISTICS, [*before[-_LOOKED_BACK:], dt])
    served = _numbers_served(lake, name, dt)
    known = [limit for limit in pipeline.kind.limits(pipeline) if _value(days[dt], limit) is not None]
    return [_finding(pipeline, dt, limit, days, served) for limit in known]


def _finding(pipeline: Pipeline, dt: str, limit: Limit, days: _Days, served: dict[Name, Number] | None) -> Finding:
    value, passed = _value(days[dt], limit), limit.holds(_value(days[dt], limit))
    may, earlier = not limit.always and _may(limit, served), sorted(days.keys() - {dt}, reverse=True)
    since = "" if passed else run_start(dt, earlier, lambda day: not limit.holds(_value(days[day], limit)))
    text = f"{limit.metric}: expected {limit}, seen {value:.4g}" + (f", since {since}" if since else "")
    if not passed and may:
        text += f". It blocks nothing: {_why(pipeline, limit, served)}"
    return Finding(
        feature="",
        entity="",
        statistic=f"{LIMITS}: {limit.metric}",
        expected=str(limit),
        seen=f"{value:.4g}",
        severity="warn" if may else "block",
        passed=passed,
        dt=dt,
        about=pipeline.kind.what,
        since=since,
        kind=LIMITS,
        text=text,
    )


def _why(pipeline: Pipeline, limit: Limit, served: dict[Name, Number] | None) -> str:
    if served is None:
        return f"nothing of {pipeline.name} is served yet that could be protected"
    if limit.warns:
        return f"the {pipeline.kind.what} that are served now are those of another model"
    return f"the {pipeline.kind.what} that are served now are beyond the same limit"


def _may(limit: Limit, served: dict[Name, Number] | None) -> bool:
    """Whether predictions may be beyond a limit: it only warns, nothing is served, or those that are served are too."""
    return served is None or limit.warns or (limit.as_served and not limit.holds(_value(served, limit)))


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
    number = numbers.get(Name(limit.metric))
    return number.value if number is not None else None
