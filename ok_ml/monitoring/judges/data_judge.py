"""Judging a dataset's newest day: the rules of its YAML, since when they are broken, and a picture of the worst."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import DatasetBase, DatasetConfig, Project
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.monitoring.judges.expectation_judge import expectation_findings
from ok_ml.monitoring.judges.expectation_results import EXPECTATIONS, Expected
from ok_ml.quality.judges.findings import Finding, in_order
from ok_ml.quality.judges.rules import Rule, judge, rule_of, with_since
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, Verdict, commit, series_verdict, verdict_of, whole_verdict
from ok_ml.stages.blocked_days import Armed, blocked_log, declared_guard
from ok_ml.stages.plot_files import scope_plot_path

DAYS_BACK: Final = 35  # how far `since` and pictures look back, partitions
_JUDGE_VERSION: Final = "3"  # raise it when the same data may get another verdict


def judge_data(project: Project, config: DatasetConfig, *, dt: str | None = None, keep: bool = True) -> Verdict:
    """Judge one day, the newest one by default; commit the verdict with the events.

    Raises
    ------
    NotCommitted
        There is no such day.
    """
    lake = Lake(project.lake_root)
    day = dt or lake.latest(config.dataset, c.EVENTS)
    manifest = lake.manifest(config.dataset, c.EVENTS, day)
    rules_on = _rules(config, lake)
    earlier = [other for other in lake.partitions(config.dataset, c.EVENTS) if other < day][::-1][:DAYS_BACK]
    findings = with_since(judge(rules_on(day), day), earlier, rules_on)
    findings += expectation_findings(Expected.of(project, config.dataset), day, commit=keep)
    look = look_further(project, config.dataset, day)
    findings = [
        one if one.passed else replace(one, look=look)
        for one in in_order(reported(findings, declared_guard(project, config, lake), day))
    ]
    verdict = verdict_of(lake, config.dataset, DECLARED_VERDICT, day, findings)
    if not keep:
        return verdict
    commit(lake, verdict, inputs=_judged(project, config, manifest))
    failed = [one for one in verdict.failed if one.kind != EXPECTATIONS]  # which have a page of their own
    picture = _picture(project, config, failed[0], [*earlier[::-1], day], rules_on) if failed else None
    return replace(verdict, plot=picture)


def judge_rejected(project: Project, dataset: DatasetBase) -> Verdict:
    """Whether few enough of the newest day's rows were set aside; it only tells."""
    lake, scope, log, limit = Lake(project.lake_root), dataset.dataset, dataset.kind, dataset.checks.rejected_warn
    manifest = lake.manifest(scope, log, lake.latest(scope, log))
    reasons, dt = manifest.details.get("rejected", {}), manifest.partition
    rejected, share = sum(reasons.values()), rejected_share(manifest)
    total = rejected + manifest.rows
    worst = ", ".join(f"{reason} {count:,}" for reason, count in Counter(reasons).most_common(3))
    headline = (
        f"{rejected:,} of {total:,} rows of {dt} set aside ({share:.2%}, limit {limit:.0%}){': ' + worst if worst else ''}."
        f" They are in {scope}/rejected_{log}."
    )
    finding = replace(
        Finding.told("rejected_share", "warn", headline, dt, kind="rejected_rows"),
        entity=log,
        expected=f"<= {limit:.0%}",
        seen=f"{share:.2%}",
        passed=share <= limit,
    )
    verdict = verdict_of(lake, scope, series_verdict(f"rejected_{log}"), dt, [finding])
    return replace(verdict, headline=headline, numbers={"share": share, "rejected": rejected, "partition": dt})


def rejected_share(manifest: Manifest) -> float:
    """Share of a day's raw rows that were set aside."""
    rejected = sum(manifest.details.get("rejected", {}).values())
    return float(rejected / max(rejected + manifest.rows, 1))


def settled_verdict(project: Project, config: DatasetConfig, dt: str) -> Verdict:
    """The verdict on a day as it is now: rules on snapshots are judged once these are there, after the events' own."""
    return known_verdict(project, config, dt) or judge_data(project, config, dt=dt)


def known_verdict(project: Project, config: DatasetConfig, dt: str) -> Verdict | None:
    """The committed verdict on a day, if its events, snapshots and limits are still those that were judged."""
    lake = Lake(project.lake_root)
    verdict, events = lake.find(config.dataset, DECLARED_VERDICT, dt), lake.find(config.dataset, c.EVENTS, dt)
    if verdict is None or events is None or verdict.inputs != _judged(project, config, events):
        return None
    return whole_verdict(lake, verdict)


def limits_of(config: DatasetBase) -> str:
    """Hash of what a dataset's YAML asks of its days; its expectations are apart, with the code that they name."""
    return fingerprint(config.checks.model_dump(mode="json", exclude={EXPECTATIONS}))


def page_of(project: Project, scope: str) -> str | None:
    """Address of the page with the series of an experiment, or of the first experiment of a dataset."""
    names = [scope] if scope in project.experiments else []
    names += [name for name, config in sorted(project.experiments.items()) if config.dataset == scope]
    service = project.environment.service
    return f"http://{service.host}:{service.port}/monitoring/{names[0]}" if names else None


def look_further(project: Project, scope: str, dt: str, anchor: str = "") -> str:
    """The command and the page that show more."""
    page = page_of(project, scope)
    return f"look further: `ok-ml checks {scope} --day {dt}`" + (f", {page}{anchor}" if page else "")


def reported(findings: Sequence[Finding], armed: Armed, dt: str) -> list[Finding]:
    """The findings of a day; on one that may not block those that would only warn, and say why."""
    if armed.blocks_on(dt):
        return list(findings)
    return [
        replace(
            one,
            severity="warn",
            advice="; ".join(part for part in (one.advice, f"it blocks nothing: {armed.why}") if part),
        )
        if not one.passed and one.severity == "block"
        else one
        for one in findings
    ]


def _judged(project: Project, config: DatasetConfig, events: Manifest) -> dict[str, str]:
    lake, dt = Lake(project.lake_root), events.partition
    armed = declared_guard(project, config, lake).blocks_on(dt)
    snapshots = {
        table: snapshot.data_version for table in c.SNAPSHOTS if (snapshot := lake.find(config.dataset, table, dt))
    }
    return {
        "events": events.data_version,
        "snapshots": fingerprint({**snapshots}),
        "limits": limits_of(config),
        "code": _JUDGE_VERSION,
        "armed": "may block" if armed else "reported",
        **Expected.of(project, config.dataset).version(dt),
    }


def _rules(config: DatasetConfig, lake: Lake) -> Callable[[str], list[Rule]]:
    from ok_ml.quality.judges.day_rules import day_rules, read

    @cache
    def rules_on(dt: str) -> list[Rule]:
        by_kind = day_rules(config, *read(config, lake, dt, leave_out=blocked_log(lake, config.dataset)))
        return [replace(rule, kind=kind) for kind, rules in by_kind.items() for rule in rules]

    return rules_on


def _picture(
    project: Project, config: DatasetConfig, worst: Finding, dts: Sequence[str], rules_on: Callable[[str], list[Rule]]
) -> Path:
    """The worst finding's number by day, with its limits of the day that was judged."""
    from ok_ml.quality.plots.finding_plots import number_by_day

    path = scope_plot_path(project, config.dataset, f"check-{worst.dt}.png")
    number_by_day(worst, {dt: rule_of(worst, rules_on(dt)) for dt in dts}, path=path)
    return path
