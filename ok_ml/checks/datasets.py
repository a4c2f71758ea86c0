"""Checks on datasets: rows set aside, and the rules that their YAML declares."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import nothing_judged, result_of
from ok_ml.config.models import DatasetBase, DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.lake import Lake
from ok_ml.quality.judges.day_rules import KINDS, UNIQUENESS
from ok_ml.quality.judges.verdicts import Verdict


def dataset_checks(project: Project, dataset: DatasetBase) -> Iterator[dg.AssetChecksDefinition]:
    """The checks of one dataset's log; which of them may block says its YAML."""
    yield _rejected_rows(project, dataset)
    if not isinstance(dataset, DatasetConfig):
        return
    yield _declared(project, dataset)
    yield _uniqueness(project, dataset)


def _rejected_rows(project: Project, dataset: DatasetBase) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.asset_key(dataset.dataset, dataset.kind),
        name="rejected_rows",
        description=f"At most {dataset.checks.rejected_warn:.0%} of the newest day's rows set aside.",
    )
    def rejected_rows() -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.data_judge import judge_rejected

        return result_of(project, judge_rejected(project, dataset))

    return rejected_rows


def _declared(project: Project, dataset: DatasetConfig) -> dg.AssetChecksDefinition:
    """One step, one run of Great Expectations, a check for each kind of rule."""
    key = keys.asset_key(dataset.dataset, c.EVENTS)
    kinds = {kind: text for kind, text in KINDS.items() if kind != UNIQUENESS}
    specs = [dg.AssetCheckSpec(kind, asset=key, description=text, blocking=True) for kind, text in kinds.items()]

    @dg.multi_asset_check(name=keys.op_name(dataset.dataset, "declared_checks"), specs=specs)
    def declared(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from ok_ml.monitoring.judges.data_judge import judge_data

        verdict = judge_data(project, dataset)
        context.log.info(verdict.headline)
        for kind in kinds:
            yield of_kind(project, verdict, kind, asset_key=key, check_name=kind)

    return declared


def of_kind(project: Project, verdict: Verdict, kind: str, **of: Any) -> dg.AssetCheckResult:
    """What a verdict says of one kind of rules; the picture of the worst finding is shown by the check that has it."""
    part = verdict.part(kind=kind)
    if not part.findings:
        nothing = "no rule of this kind is declared, or none can be held against this day: nothing to judge"
        return nothing_judged(f"{verdict.dt}: {nothing}", **of)
    plot = verdict.plot if part.failed[:1] == verdict.failed[:1] else None
    return result_of(project, part, plots={"plot": plot}, **of)


def _uniqueness(project: Project, dataset: DatasetConfig) -> dg.AssetChecksDefinition:
    """Keys of the snapshots, which are made after the checks of the events have let the day through."""
    key = keys.asset_key(dataset.dataset, c.EVENT_STATISTICS)

    @dg.asset_check(asset=key, name=UNIQUENESS, blocking=True, description=KINDS[UNIQUENESS])
    def uniqueness() -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.data_judge import settled_verdict

        lake = Lake(project.lake_root)
        verdict = settled_verdict(project, dataset, lake.latest(dataset.dataset, c.EVENTS))
        return of_kind(project, verdict, UNIQUENESS)

    return uniqueness
