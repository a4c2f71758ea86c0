"""Everything that the checks of an experiment or a dataset found on a day, rules and all other verdicts, in one list."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ok_ml import columns as c
from ok_ml.config.models import DatasetBase, DatasetConfig, Project
from ok_ml.errors import NotCommitted
from ok_ml.lake import Lake
from ok_ml.monitoring.accepting import verdicts_of
from ok_ml.monitoring.judges.data_judge import judge_data, known_verdict
from ok_ml.monitoring.judges.event_judge import event_watch
from ok_ml.monitoring.judges.feature_judge import feature_verdict, known_features
from ok_ml.partitions import window
from ok_ml.quality.judges.findings import Finding, order_of
from ok_ml.quality.judges.verdicts import (
    BLOCKING,
    DECLARED_VERDICT,
    EVENT_VERDICT,
    FEATURE_VERDICT,
    LISTS_VERDICT,
    Verdict,
    verdict_on,
)
from ok_ml.stages.opening import open_pipeline

State = Literal["fail", "warn", "accepted", "ok"]
Say = Callable[[str], None]

_ORDER: Final = ("fail", "warn", "accepted", "ok")
_TOLD_BY_RULES: Final = (DECLARED_VERDICT, FEATURE_VERDICT)


@dataclass(frozen=True)
class Row:
    """One thing that was judged.

    Attributes
    ----------
    state
        fail: it blocks what is served; accepted: it would, or would warn, and a person has said that it is right.
    check
        Kind of rules, or of verdict.
    of
        Entity and feature of a rule; scope and day of any other verdict.
    command
        What accepts it; empty if it holds.
    """

    state: State
    check: str
    of: str
    statistic: str
    seen: str
    expected: str
    since: str
    message: str
    accepted: str = ""
    command: str = ""


def findings_of(project: Project, name: str, day: str | None, say: Say) -> tuple[str, list[Row]]:
    """The day, and everything that was judged for it, worst first.

    Parameters
    ----------
    name
        Of an experiment, whose dataset is included, or of a dataset.
    day
        ISO date; default: the newest one.
    say
        Called with a line where something has to be judged first.
    """
    lake, is_dataset = Lake(project.lake_root), name not in project.experiments
    dataset = project.datasets[name] if is_dataset else project.dataset_of(name)
    judges_features = not is_dataset and open_pipeline(project, name).type.has(c.FEATURE_STATISTICS)
    dt = _day(lake, name if judges_features else dataset.dataset, dataset, day, say)
    ruled = [_of_data(project, dataset, dt, say)] if isinstance(dataset, DatasetConfig) else []
    if judges_features and lake.find(name, c.FEATURE_STATISTICS, dt) is not None:
        ruled.append(_of_features(project, name, dt, say))
    rules = [(one, verdict.command) for verdict in ruled for one in verdict.findings]
    told = [_of_rule(one, command) for one, command in sorted(rules, key=lambda rule: order_of(rule[0]))]
    others = other_verdicts(project, name, dataset.dataset, dt, newest=day is None)
    told += [row for one in others for row in _of_verdict(one, dt)]
    return dt, sorted(told, key=lambda row: _ORDER.index(row.state))


def _day(lake: Lake, name: str, config: DatasetBase, day: str | None, say: Say) -> str:
    """The newest day with features, or of a dataset of its log; where no features are there yet, of the log."""
    dataset, log = config.dataset, config.kind
    table = log if name == dataset else c.FEATURE_STATISTICS
    try:
        return lake.manifest(name, table, day).partition if day else lake.latest(name, table)
    except NotCommitted as error:
        dt = day or next(iter(lake.partitions(dataset, log)[-1:]), None)
        if name == dataset or dt is None or lake.find(dataset, log, dt) is None:
            raise
        say(f"{error.problem}: its log alone")
        return dt


def _of_data(project: Project, config: DatasetConfig, dt: str, say: Say) -> Verdict:
    verdict = known_verdict(project, config, dt)
    if verdict is None:
        say(f"judging {dt} of {config.dataset} ...")
        verdict = judge_data(project, config, dt=dt, keep=False)
    return verdict


def _of_features(project: Project, name: str, dt: str, say: Say) -> Verdict:
    pipeline = open_pipeline(project, name)
    verdict = known_features(pipeline, dt)
    if verdict is None:
        say(f"judging the features of {name} on {dt} ...")
        verdict = feature_verdict(pipeline, dt)
    return verdict


def other_verdicts(project: Project, name: str, dataset: str, dt: str, *, newest: bool) -> Iterable[Verdict]:
    """The other verdicts of the day; of earlier days of the log those that block, which are left out of all windows.

    Without a chosen day also what is newer: lists, and a day of the log that was blocked before it got features.
    """
    lake = Lake(project.lake_root)
    of_day = [*verdicts_of(project, name, dt), *verdicts_of(project, name, dt, model=True)]
    verdicts = {(one.table, one.dt): one for one in of_day if one.table not in _TOLD_BY_RULES}
    log = project.event_logs.get(dataset)
    known = lake.partitions(dataset, c.EVENTS)  # of a dataset of texts there are none, and no verdict on its log
    days = window(known, dt, event_watch(project, log, lake).days) if log is not None else []
    newer = known[-1:] if newest else []
    more = [
        (dataset, table, day) for day in (*days, *newer) if day != dt for table in (EVENT_VERDICT, DECLARED_VERDICT)
    ]
    if newest and name != dataset:
        more += [(name, LISTS_VERDICT, lists) for lists in lake.partitions(name, LISTS_VERDICT)[-1:]]
    for scope, table, day in more:
        one = verdict_on(lake, scope, table, day)
        if one is not None and any(finding.severity == "block" for finding in one.wrong):
            verdicts[table, day] = one
    return verdicts.values()


# -- rows ----------------------------------------------------------------------------------------------------------------


def _of_rule(one: Finding, command: str) -> Row:
    state: State = "ok" if one.passed else "accepted" if one.accepted else "fail" if one.severity == "block" else "warn"
    return _row(state, one.kind, one.of, one.statistic, one, "" if one.passed else command)


def _of_verdict(verdict: Verdict, dt: str) -> Iterator[Row]:
    """A row a finding; a day of the log before the one that was asked for holds back itself alone, so it only warns here."""
    check, of = verdict.table.removesuffix("_verdict"), f"{verdict.scope} {verdict.dt}"
    if not verdict.wrong:
        yield Row("ok", check, of, "", "", "", "", verdict.headline or f"{verdict.dt}: nothing found")
    may = verdict.table in BLOCKING and not (verdict.table in (EVENT_VERDICT, DECLARED_VERDICT) and verdict.dt < dt)
    for one in verdict.wrong:
        state: State = "accepted" if one.accepted else "fail" if one.severity == "block" and may else "warn"
        yield _row(state, check, of, one.key, one, verdict.command)


def _row(state: State, check: str, of: str, statistic: str, one: Finding, command: str) -> Row:
    return Row(state, check, of, statistic, one.seen, one.expected, one.since, one.message, one.accepted, command)
