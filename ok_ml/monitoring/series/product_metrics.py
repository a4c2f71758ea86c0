"""Product metrics of a dataset: what people did on each day, whoever recommended what."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.quality.statistics.number_series import GROUP, METRIC, Number, series_table
from ok_ml.quality.statistics.product_statistics import DayCounts, count_part, product_numbers

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION: Final = "1"  # raise it when equal events become other numbers


def build_product_metrics(
    dataset: DatasetConfig, lake: Lake, dts: list[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Count what people did on some days; commit a partition a day."""
    manifests = []
    for dt in dts:
        inputs = product_inputs(dataset, lake, dt)
        table = series_table(product_day(dataset, lake, dt))
        manifests.append(
            lake.write(dataset.dataset, c.PRODUCT_METRICS, dt, table, sort_by=[METRIC, GROUP], inputs=inputs)
        )
        if progress:
            progress(f"product metrics of {dt}: {table.num_rows} numbers")
    return manifests


def product_inputs(dataset: DatasetConfig, lake: Lake, dt: str) -> dict[str, str]:
    """Record of one day: its events and users, and which events count as reactions."""
    scope = dataset.dataset
    versions = {f"{scope}/{name}": lake.manifest(scope, name, dt).data_version for name in (c.EVENTS, c.USERS)}
    config = fingerprint({"grades": sorted(dataset.grades.items()), "types": _types(dataset)})
    return {"code": CODE_VERSION, "config": config, **versions}


def is_current(dataset: DatasetConfig, lake: Lake, dt: str) -> bool:
    """Whether a day's numbers are those of what is committed now."""
    return lake.is_current(dataset.dataset, c.PRODUCT_METRICS, dt, product_inputs(dataset, lake, dt))


def product_day(dataset: DatasetConfig, lake: Lake, dt: str) -> list[Number]:
    """The numbers of one day, part by part."""
    counts, columns = DayCounts.none(), [c.USER_ID, c.EVENT_TYPE, c.CONTENT_TYPE, c.DURATION_MS]
    for part in range(dataset.parts):
        events = lake.read(dataset.dataset, c.EVENTS, [dt], columns=columns, part=part)
        counts.add(count_part(events, _segments(dataset, lake, dt, part)))
    positive = [name for name, grade in dataset.grades.items() if grade > 0]
    return product_numbers(counts, _types(dataset), positive, lake.manifest(dataset.dataset, c.USERS, dt).rows)


def _segments(dataset: DatasetConfig, lake: Lake, dt: str, part: int) -> "pa.Table | None":
    rows = lake.read(dataset.dataset, c.USERS, [dt], part=part)
    known = c.SEGMENT in rows.column_names and rows[c.SEGMENT].null_count < rows.num_rows
    return rows.select([c.USER_ID, c.SEGMENT]) if known else None


def _types(dataset: DatasetConfig) -> list[str]:
    return sorted({*dataset.events.event_types.values(), *dataset.grades})
