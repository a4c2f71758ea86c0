"""Statistics of the features, drift against the champion's reference, and the verdict that publication asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ok_ml import columns as c
from ok_ml.errors import GateRefused
from ok_ml.lake import Manifest
from ok_ml.pipelines.source_recommendation import CHAMPION, FEATURE_TABLES, SourceRecommendation

if TYPE_CHECKING:
    from ok_ml.quality.bins import FrozenBins
    from ok_ml.quality.expectations import Finding

VERDICT: Final = "feature_verdict"
REFERENCE_FILE: Final = "reference.parquet"
BINS_FILE: Final = "bins.json"
_ENTITY_OF: Final = {c.USER_FEATURES: "user", c.SOURCE_FEATURES: "source", c.PAIR_FEATURES: "pair"}


@dataclass(frozen=True)
class Verdict:
    """What the feature check found on one day."""

    dt: str
    findings: list["Finding"]
    failed: list["Finding"]
    blocks: bool
    headline: str
    plot: Path | None


def build_statistics(
    pipeline: SourceRecommendation, dts: list[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Compute and commit feature_statistics of each day, on the champion's bins once there is a champion."""
    from ok_ml.quality.statistics import feature_statistics

    bins = reference_bins(pipeline)
    manifests = []
    for dt in dts:
        table = feature_statistics(feature_files(pipeline, [dt]), dt=dt, bins=bins)
        inputs = pipeline.statistics_inputs(dt)
        manifests.append(
            pipeline.lake.write(pipeline.name, c.FEATURE_STATISTICS, dt, table, sort_by=["entity", "feature"], inputs=inputs)
        )
        if progress:
            progress(f"statistics of {table.num_rows} features on {dt}")
    return manifests


def feature_files(pipeline: SourceRecommendation, dts: list[str]) -> dict[str, list[str]]:
    """Entity -> Parquet files of some days' features."""
    return {
        _ENTITY_OF[table]: pipeline.lake.files(pipeline.name, table, dts)
        for table in FEATURE_TABLES
        if table in _ENTITY_OF and any(pipeline.lake.manifest(pipeline.name, table, dt).files for dt in dts)
    }


def freeze_reference(pipeline: SourceRecommendation, dts: list[str], folder: Path) -> None:
    """Write bins and pooled statistics of the training days next to the model: what drift is judged against."""
    import pyarrow.parquet as pq

    from ok_ml.quality.bins import FrozenBins
    from ok_ml.quality.statistics import feature_statistics

    table = feature_statistics(feature_files(pipeline, dts), dt=dts[-1])
    FrozenBins.from_statistics(table).save(folder / BINS_FILE)
    pq.write_table(table, folder / REFERENCE_FILE)


def reference_bins(pipeline: SourceRecommendation) -> "FrozenBins | None":
    """The champion's frozen bins, or None before there is a champion."""
    from ok_ml.quality.bins import FrozenBins

    champion = pipeline.lake.find(pipeline.name, CHAMPION)
    return FrozenBins.load(pipeline.lake.folder(champion) / BINS_FILE) if champion else None


def drift_of(pipeline: SourceRecommendation, dt: str) -> pa.Table | None:
    """Every feature of a day against the champion's reference; None before there is a champion."""
    import pyarrow.parquet as pq

    from ok_ml.quality.drift import drift_table

    champion = pipeline.lake.find(pipeline.name, CHAMPION)
    bins = reference_bins(pipeline)
    if champion is None or bins is None:
        return None
    current = pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [dt])
    reference = pq.read_table(pipeline.lake.folder(champion) / REFERENCE_FILE)
    return drift_table(current, reference, bins, pipeline.config.checks.drift)


def drift_rows(pipeline: SourceRecommendation, dt: str) -> list[dict[str, Any]]:
    """The drift table, worst first, for people."""
    table = drift_of(pipeline, dt)
    if table is None:
        return []
    shown = ("entity", "feature", "psi", "js", "mean_now", "mean_reference", "null_share", "verdict")
    rows = [{name: row[name] for name in shown} for row in table.to_pylist()]
    return sorted(rows, key=lambda row: -(row["psi"] or 0.0))


def plot_drift(pipeline: SourceRecommendation, dt: str) -> Path | None:
    """A chart of the most drifted features with the limits; None before there is a champion."""
    from ok_ml.quality.plots import psi_chart

    rows = drift_rows(pipeline, dt)
    if not rows:
        return None
    limits = pipeline.config.checks.drift
    path = plot_path(pipeline, f"drift-{dt}.png")
    psi_chart([(row["feature"], row["psi"] or 0.0) for row in rows[:15]], warn=limits.psi_warn, block=limits.psi_block, path=path)
    return path


def judge_features(pipeline: SourceRecommendation) -> Verdict:
    """Judge the newest day with statistics and commit the verdict that predictions and publication ask for."""
    from ok_ml.quality.expectations import failures, summary

    dt = pipeline.lake.latest(pipeline.name, c.FEATURE_STATISTICS)
    manifest = pipeline.lake.manifest(pipeline.name, c.FEATURE_STATISTICS, dt)
    findings = _findings(pipeline, dt)
    failed = failures(findings)
    blocks = bool(failures(findings, "block"))
    verdict = Verdict(dt, findings, failed, blocks, f"{dt}: {summary(findings)}", plot_drift(pipeline, dt))
    rows = pa.table({"message": pa.array([finding.message for finding in failed], pa.string())})
    pipeline.lake.write(
        pipeline.name, VERDICT, dt, rows, sort_by=["message"], inputs={"statistics": manifest.data_version},
        details={"blocks": blocks, "headline": verdict.headline},
    )  # fmt: skip
    return verdict


def require_verdict(pipeline: SourceRecommendation, dt: str) -> Manifest:
    """The verdict on a day's features; publication asks again, because a check binds only its own run.

    Raises
    ------
    GateRefused
        The features of that day were never judged, were judged in another version, or are blocked.
    """
    found = pipeline.lake.find(pipeline.name, VERDICT, dt)
    statistics = pipeline.lake.find(pipeline.name, c.FEATURE_STATISTICS, dt)
    judged = found is not None and statistics is not None and found.inputs["statistics"] == statistics.data_version
    if found is None or not judged:
        raise GateRefused(
            f"{pipeline.name}: the features of {dt} have no verdict for their current version",
            why="predictions from features that nobody checked could harm every user at once",
            remedy=f"materialise {pipeline.name}/{c.FEATURE_STATISTICS} for {dt}; its check writes the verdict",
        )
    if found.details.get("blocks"):
        raise GateRefused(
            f"{pipeline.name}: the features of {dt} are blocked. {found.details.get('headline')}",
            why="the last good generation is still served; a new one would carry the fault to every user",
            remedy=f"repair the data of {dt}, ingest the day again, or retrain if the change is real",
        )
    return found


def plot_path(pipeline: SourceRecommendation, name: str) -> Path:
    """Where a picture of this experiment goes; the HTTP service shows it."""
    path = pipeline.project.state_dir / "plots" / pipeline.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _findings(pipeline: SourceRecommendation, dt: str) -> list["Finding"]:
    from ok_ml.features.registry import FEATURES
    from ok_ml.quality.expectations import FeatureRule, validate_statistics

    checks = pipeline.config.checks
    rules = [FeatureRule(f.entity, f.name, *f.range, checks.null_share_block) for f in FEATURES]
    statistics = pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [dt])
    return validate_statistics(statistics, drift_of(pipeline, dt), rules, checks)
