"""A verdict as the UI shows it: one line, the picture of the worst finding first, then what failed as a table."""

from typing import Any

import dagster as dg

from ok_ml.config.models import Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import plot_metadata, table_metadata
from ok_ml.quality.judges.acceptance import command_of
from ok_ml.quality.judges.rules import failures
from ok_ml.quality.judges.verdicts import SHOWN, Verdict


def result_of(project: Project, verdict: Verdict, kind: str, key: dg.AssetKey) -> dg.AssetCheckResult:
    """One check of a verdict; it blocks if one of its findings does."""
    findings = verdict.by_kind[kind]
    failed, blocks = failures(findings), bool(failures(findings, "block"))
    if not findings:
        return nothing_judged(
            f"{verdict.dt}: no rule of this kind is declared, or none can be held against this day: nothing to judge",
            asset_key=key,
            check_name=kind,
        )
    metadata: dict[str, dg.MetadataValue | int | str] = {}
    if failed and verdict.plot is not None and failed[0] == verdict.failed[0]:
        metadata["plot"] = plot_metadata(project, verdict.plot)
    metadata |= {"expectations": len(findings), "failed": len(failed)}
    if failed:
        metadata["findings"] = table_metadata([{name: getattr(found, name) for name in SHOWN} for found in failed])
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=kind,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
        description=way_out_first(
            verdict.headline_of(kind), verdict.dt, command_of(key.path[0], verdict.dt), blocks=blocks
        ),
        metadata=metadata,
    )


def nothing_judged(text: str, **of: Any) -> dg.AssetCheckResult:
    """The result of a check that had nothing to judge: not passed, since nothing is known, and not wrong either.

    Dagster knows passed, warned and failed. Passed would be green with nothing behind it, so it is a warning, which holds
    nothing back; its mark keeps the alerts from opening an incident and the causes of a training from taking it for one, and
    lets status and health call it unknown.
    """
    metadata = {keys.NOTHING_JUDGED: True, **of.pop("metadata", {})}
    return dg.AssetCheckResult(
        passed=False, severity=dg.AssetCheckSeverity.WARN, description=text, metadata=metadata, **of
    )


def way_out_first(headline: str, dt: str, command: str, *, blocks: bool) -> str:
    """What a check says; where it blocks, the command that releases the day before anything that may be cut."""
    said = headline.removeprefix(f"{dt}: ")
    return f"{dt} blocks; to go on, if the change is real: {command}. {said}" if blocks else headline
