"""A verdict as the UI shows it: one line with the way out first, pictures, then what failed as a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from ok_ml.config.models import Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import plot_metadata, table_metadata
from ok_ml.quality.judges.findings import rows_of
from ok_ml.quality.judges.verdicts import Verdict

_MOST_ROWS: Final = 50


def result_of(
    project: Project,
    verdict: Verdict,
    *,
    plots: Mapping[str, Path | None] | None = None,
    metadata: Mapping[str, Any] | None = None,
    way_out: str = "",
    advice: str = "",
    severity: dg.AssetCheckSeverity | None = None,
    **of: Any,
) -> dg.AssetCheckResult:
    """What a check says of a verdict, or of its part in one; it blocks if one of the findings does.

    Parameters
    ----------
    plots, metadata
        What is shown beside the findings, pictures first.
    way_out
        The commands that release it; default: the one that accepts the verdict.
    advice
        What to do where something failed, after everything else.
    severity
        Of a failure; default: ERROR where it blocks, else WARN.
    of
        Key and name of the check, where one step has several.
    """
    failed, blocks = verdict.failed, verdict.blocks
    shown: dict[str, Any] = {
        name: plot_metadata(project, path) for name, path in (plots or {}).items() if path is not None
    }
    shown |= {**verdict.numbers, **(metadata or {}), "expectations": len(verdict.findings), "failed": len(failed)}
    if not verdict.findings:
        return nothing_judged(verdict.headline, metadata=shown, **of)
    if verdict.wrong:
        shown["findings"] = table_metadata(rows_of(verdict.wrong[:_MOST_ROWS]))
    said = way_out_first(verdict, way_out or verdict.command)
    return dg.AssetCheckResult(
        passed=not failed,
        severity=severity or (dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN),
        description=f"{said}{advice}" if failed else said,
        metadata=shown,
        **of,
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


def way_out_first(verdict: Verdict, command: str) -> str:
    """What a check says: where it blocks, what releases the day before anything that may be cut; else who has accepted it."""
    if verdict.blocks:
        said = verdict.headline.removeprefix(f"{verdict.dt}: ")
        return f"{verdict.dt} blocks; to go on, if the change is real: {command}. {said}"
    accepted = verdict.accepted
    return f"{accepted}. {verdict.headline}" if accepted and accepted not in verdict.headline else verdict.headline
