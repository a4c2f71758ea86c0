"""Statistics of the features, drift against the champion's reference, and the verdict that publication asks for."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ok_ml import columns as c
from ok_ml.errors import GateRefused
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.lake import Manifest, fingerprint
from ok_ml.monitoring.judges.data_judge import limits_of
from ok_ml.monitoring.judges.expectation_judge import OF_FEATURES
from ok_ml.monitoring.judges.expectation_results import EXPECTATIONS, Expected
from ok_ml.monitoring.plots.plot_files import plot_path
from ok_ml.monitoring.series.event_series import is_settled, settle_events
from ok_ml.quality.judges.acceptance import Judged, found_in, kept
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT
from ok_ml.quality.judges.what_blocks import OF_LOG, of_features, way_out
from ok_ml.quality.statistics.bins import BINS_FILE, REFERENCE_FILE
from ok_ml.stages.blocked_days import blocked_features, experiment_guard
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from ok_ml.quality.judges.rules import Finding
    from ok_ml.quality.statistics.bins import FrozenBins

VERDICT: Final = FEATURE_VERDICT
DRIFTED: Final = "drifted"  # in the details of a verdict
_WEEK: Final = 7
_JUDGE_VERSION: Final = "4"  # raise it when the same statistics may get another verdict


@dataclass(frozen=True)
class Verdict:
    """What the feature check found on one day."""

    dt: str
    findings: list["Finding"]
    failed: list["Finding"]
    blocks: bool
    headline: str
    plot: Path | None
    worst_plot: Path | None = None


def build_statistics(
    pipeline: Pipeline, dts: list[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Compute and commit feature_statistics of each day, on the champion's bins once there is a champion."""
    from ok_ml.quality.statistics.statistics_rows import feature_statistics

    bins = reference_bins(pipeline)
    manifests = []
    for dt in dts:
        inputs = pipeline.inputs_of(c.FEATURE_STATISTICS, dt)
        table = feature_statistics(feature_files(pipeline, [dt]), dt=dt, bins=bins)
        manifests.append(
            pipeline.lake.write(
                pipeline.name, c.FEATURE_STATISTICS, dt, table, sort_by=["entity", "feature"], inputs=inputs
            )
        )
        if progress:
            progress(f"statistics of {table.num_rows} features on {dt}")
    return manifests


def feature_files(pipeline: Pipeline, dts: list[str]) -> dict[str, list[str]]:
    """Entity -> Parquet files of some days' features."""
    return {
        ENTITY_OF[table]: pipeline.lake.files(pipeline.name, table, dts)
        for table in pipeline.feature_tables
        if table in ENTITY_OF and any(pipeline.lake.manifest(pipeline.name, table, dt).files for dt in dts)
    }


def freeze_reference(pipeline: Pipeline, folder: Path) -> str:
    """Write bins and pooled statistics of the newest feature days next to the model: what drift is judged against.

    Whole weeks of days where there are so many, since the weekly rhythm is no drift.

    Returns
    -------
    A hash of the bins: statistics that were counted on others have to be counted again.
    """
    import pyarrow.parquet as pq

    from ok_ml.quality.statistics.bins import FrozenBins
    from ok_ml.quality.statistics.statistics_rows import feature_statistics

    dts = reference_dts(pipeline)
    table = feature_statistics(feature_files(pipeline, dts), dt=dts[-1])
    bins = FrozenBins.from_statistics(table)
    bins.save(folder / BINS_FILE)
    pq.write_table(table, folder / REFERENCE_FILE)
    return hashlib.sha256(bins.to_json()).hexdigest()[:16]


def reference_dts(pipeline: Pipeline) -> list[str]:
    """The newest days with current features, as many whole weeks as there are, four at most; all if less than one."""
    dts = [dt for run in pipeline.feature_runs() for dt in run]
    odd = blocked_features(pipeline.lake, pipeline.name, dts)
    dts = [dt for dt in dts if dt not in odd]
    dts = [
        dt
        for dt in dts
        if all(pipeline.lake.find(pipeline.name, table, dt) for table in pipeline.feature_tables if table in ENTITY_OF)
    ]
    whole = min(len(dts) - len(dts) % _WEEK, 4 * _WEEK)
    return dts[-whole:] if whole and pipeline.dataset.partition.grain == "day" else dts


def reference_bins(pipeline: Pipeline) -> "FrozenBins | None":
    """The champion's frozen bins, or None before there is a champion."""
    from ok_ml.quality.statistics.bins import FrozenBins

    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    return FrozenBins.load(pipeline.lake.folder(champion) / BINS_FILE) if champion else None


def drift_of(pipeline: Pipeline, dt: str) -> pa.Table | None:
    """Every feature of a day against the champion's reference; None before there is a champion."""
    import pyarrow.parquet as pq

    from ok_ml.quality.judges.drift import drift_table

    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    bins = reference_bins(pipeline)
    if champion is None or bins is None:
        return None
    current = pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [dt])
    reference = pq.read_table(pipeline.lake.folder(champion) / REFERENCE_FILE)
    now, then = (_judged_features(pipeline, table) for table in (current, reference))
    return drift_table(now, then, bins, pipeline.config.checks.drift)


def _judged_features(pipeline: Pipeline, statistics: pa.Table) -> pa.Table:
    """The rows of the features whose drift means something."""
    import pyarrow.compute as pc

    from ok_ml.features.declared.registry import by_name

    unjudged = [by_name(name, pipeline.features).name for name in pipeline.config.checks.drift.not_judged]
    unjudged += [feature.name for feature in pipeline.features if feature.judged != "level"]
    return statistics.filter(pc.invert(pc.is_in(statistics["feature"], value_set=pa.array(unjudged, pa.string()))))


def drift_rows(pipeline: Pipeline, dt: str) -> list[dict[str, Any]]:
    """The drift table, worst first, for people."""
    table = drift_of(pipeline, dt)
    shown = ("entity", "feature", "verdict", "psi", "js", "mean_now", "mean_reference", "null_share", "moved")
    return [{name: row[name] for name in shown} for row in table.to_pylist()] if table is not None else []


def plot_drift(pipeline: Pipeline, dt: str) -> Path | None:
    """A chart of the most drifted features with the limits; None before there is a champion."""
    from ok_ml.quality.plots.evaluation_plots import psi_chart

    table = drift_of(pipeline, dt)
    if table is None:
        return None
    limits, path = pipeline.config.checks.drift, plot_path(pipeline, f"drift-{dt}.png")
    psi_chart(table, psi_warn=limits.psi_warn, psi_block=limits.psi_block, path=path)
    return path


def judge_features(pipeline: Pipeline) -> Verdict:
    """Judge the newest day; commit the verdict that predictions and publication ask for.

    Older days are counted for their history only: what is served next comes from the newest one.
    """
    from ok_ml.monitoring.judges.feature_judge import blocking_data, own_findings, plot_finding
    from ok_ml.quality.judges.rules import failures, in_order, summary
    from ok_ml.quality.judges.verdicts import FEATURES, to_table

    dt = pipeline.calendar().serve_cut
    manifest = pipeline.lake.find(pipeline.name, c.FEATURE_STATISTICS, dt)
    if manifest is None:
        return Verdict(dt, [], [], False, f"{dt}, the newest day, has no statistics yet: nothing to judge", None)
    settle_events(pipeline.project, pipeline.dataset, pipeline.lake)
    own, of_log = own_findings(pipeline, dt), blocking_data(pipeline, dt)
    findings = in_order([*own, *of_log])
    failed = failures(findings)
    headline, blocks = f"{dt}: {summary(findings)}", bool(failures(findings, "block"))
    worst = plot_finding(pipeline, failed[0]) if failed else None
    verdict = Verdict(dt, findings, failed, blocks, headline, plot_drift(pipeline, dt), worst)
    judged = Judged.now(pipeline.lake, pipeline.name, VERDICT, dt, found_in(own))
    found = {**kept(judged), OF_LOG: [list(one) for one in found_in(of_log)]}
    pipeline.lake.write(
        pipeline.name,
        VERDICT,
        dt,
        to_table({FEATURES: findings}),
        sort_by=["message"],
        inputs=_judged(pipeline, manifest),
        details={"blocks": blocks, "headline": verdict.headline, DRIFTED: _drifted(failed), **found},
    )
    return verdict


def _drifted(failed: list["Finding"]) -> list[str]:
    """The features that are off the champion's reference, worst first, with what was seen: a cause of retraining."""
    from ok_ml.quality.statistics.statistics_columns import JS, PSI

    off = [finding for finding in failed if finding.statistic in (PSI, JS)]
    return [f"{finding.feature} {finding.statistic} {finding.seen} (expected {finding.expected})" for finding in off]


def is_judged(pipeline: Pipeline, dt: str) -> bool:
    """Whether a day's features have a verdict on their current statistics, champion and limits, and on the log behind them."""
    if not pipeline.is_current(c.FEATURE_STATISTICS, dt) or not _log_is_judged(pipeline, dt):
        return False
    return has_verdict(pipeline, dt)


def has_verdict(pipeline: Pipeline, dt: str) -> bool:
    """Whether a verdict on a day's features is about the statistics that are there, by the limits and the champion of now."""
    found = pipeline.lake.find(pipeline.name, VERDICT, dt)
    statistics = pipeline.lake.find(pipeline.name, c.FEATURE_STATISTICS, dt)
    return found is not None and statistics is not None and found.inputs == _judged(pipeline, statistics)


def _log_is_judged(pipeline: Pipeline, dt: str) -> bool:
    return is_settled(pipeline.project, pipeline.dataset, pipeline.lake, dt)


def settle_verdict(pipeline: Pipeline) -> Verdict | None:
    """Judge the newest day again if its statistics or its verdict are not those of the present champion; None if they are.

    A new champion brings a reference of its own, and a day that was judged against the old one has not been judged.
    """
    dt = pipeline.calendar().serve_cut
    if is_judged(pipeline, dt):
        return None
    if not pipeline.is_current(c.FEATURE_STATISTICS, dt):
        build_statistics(pipeline, [dt])
    return judge_features(pipeline)


def require_verdict(pipeline: Pipeline, dt: str) -> Manifest:
    """The verdict on a day's features; publication asks again, because a check binds only its own run.

    Raises
    ------
    GateRefused
        The features of that day were never judged, were judged in another version or against another champion, or are
        blocked.
    """
    found = pipeline.lake.find(pipeline.name, VERDICT, dt)
    if found is None or not has_verdict(pipeline, dt):
        raise GateRefused(
            f"{pipeline.name}: the features of {dt} have no verdict for their current version",
            why="predictions from features that were not checked could harm every user at once",
            remedy=f"materialise {pipeline.name}/{c.FEATURE_STATISTICS} for {dt}; its check writes the verdict",
        )
    blocked = of_features(pipeline.project, pipeline.name, dt)
    if blocked:
        raise GateRefused(
            f"{pipeline.name}: the features of {dt} are blocked. {found.details.get('headline')}",
            why="a new generation would carry the fault to every user; what is served stays",
            remedy="; ".join(way_out(one, pipeline.dataset_scope) for one in blocked),
        )
    return found


def _judged(pipeline: Pipeline, statistics: Manifest) -> dict[str, str]:
    """What a verdict depends on: the statistics, the champion's reference, the limits."""
    champion, dt = pipeline.lake.find(pipeline.name, c.CHAMPION), statistics.partition
    of_log = Expected.of(pipeline.project, pipeline.dataset_scope)
    return {
        "statistics": statistics.data_version,
        "champion": champion.data_version if champion else "none",
        "limits": fingerprint(
            pipeline.config.checks.model_dump(mode="json", exclude={"predictions", "online", EXPECTATIONS})
        ),
        "code": _JUDGE_VERSION,
        "declared": limits_of(pipeline.dataset),
        "armed": "may block" if experiment_guard(pipeline.lake, pipeline.name).blocks_on(dt) else "reported",
        **Expected.of(pipeline.project, pipeline.name).within(OF_FEATURES).version(dt),
        **{f"log_{name}": version for name, version in of_log.version(dt).items()},
    }
