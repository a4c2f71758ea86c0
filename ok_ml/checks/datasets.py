"""Checks on datasets: volume, rejected rows."""

from collections.abc import Iterator

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.lake import Lake

_REJECTED_WARN = 0.05  # share of raw rows
_VOLUME_WARN = 0.5  # of the median of the last partitions


def dataset_checks(project: Project, dataset: DatasetConfig) -> Iterator[dg.AssetChecksDefinition]:
    """The checks of one dataset's events: both warn, none blocks, since features have blocking checks of their own."""
    key = keys.asset_key(dataset.dataset, c.EVENTS)

    @dg.asset_check(
        asset=key, name="rejected_rows", description=f"At most {_REJECTED_WARN:.0%} of the newest day's rows set aside."
    )
    def rejected_rows() -> dg.AssetCheckResult:
        lake = Lake(project.lake_root)
        manifest = lake.manifest(dataset.dataset, c.EVENTS, lake.latest(dataset.dataset, c.EVENTS))
        reasons = manifest.details.get("rejected", {})
        rejected = sum(reasons.values())
        share = rejected / max(rejected + manifest.rows, 1)
        worst = ", ".join(
            f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:3]
        )
        return dg.AssetCheckResult(
            passed=share <= _REJECTED_WARN,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{rejected:,} of {rejected + manifest.rows:,} rows of {manifest.partition} set aside ({share:.2%}, limit "
            f"{_REJECTED_WARN:.0%}){': ' + worst if worst else ''}. They are in {dataset.dataset}/{c.REJECTED}.",
            metadata={"share": share, "rejected": rejected, "partition": manifest.partition},
        )

    @dg.asset_check(asset=key, name="volume", description="The newest day has at least half of the usual rows.")
    def volume() -> dg.AssetCheckResult:
        lake = Lake(project.lake_root)
        dts = lake.partitions(dataset.dataset, c.EVENTS)[-8:]
        rows = [lake.manifest(dataset.dataset, c.EVENTS, dt).rows for dt in dts]
        usual = sorted(rows[:-1])[len(rows[:-1]) // 2] if len(rows) > 1 else rows[-1]
        return dg.AssetCheckResult(
            passed=rows[-1] >= _VOLUME_WARN * usual,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{dts[-1]} has {rows[-1]:,} rows; usual is {usual:,} (median of the {max(len(rows) - 1, 1)} days before), "
            f"limit {_VOLUME_WARN:.0%} of it.",
            metadata={"rows": rows[-1], "usual": usual},
        )

    yield rejected_rows
    yield volume
