"""What Dagster shows of a table's columns: their types, what they mean, and from which columns they are computed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from ok_ml import columns as c
from ok_ml.graph import keys
from ok_ml.lake import Lake, Manifest
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from ok_ml.features.declared.feature import Feature

SCHEMA: Final = "dagster/column_schema"
_LINEAGE: Final = "dagster/column_lineage"
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "user": (c.USER_ID,),
    "source": (c.SOURCE_ID,),
    "pair": (c.USER_ID, c.SOURCE_ID),
    "text": (c.TEXT_ID,),
}


def declared_columns(pipeline: Pipeline, table: str) -> dict[str, Any]:
    """Schema and column lineage of a table of features, as metadata of its asset; nothing for any other table."""
    from ok_ml.features.declared.registry import ENTITY_OF, features_of

    entity: Any = ENTITY_OF.get(table)
    if entity is None or table not in pipeline.feature_tables:
        return {}
    features = features_of(entity, pipeline.features)
    sources = {feature.name: list(_sources(pipeline, feature)) for feature in features}
    key_columns = [dg.TableColumn(name, "int64", "Key.") for name in _KEYS[entity]]
    columns = [_column(pipeline, feature, sources[feature.name]) for feature in features]
    return {SCHEMA: dg.TableSchema([*key_columns, *columns]), _LINEAGE: dg.TableColumnLineage(sources)}


def written_columns(lake: Lake, manifests: list[Manifest]) -> dict[str, Any]:
    """The schema of the last of some partitions, as metadata of its materialisation; nothing of what is not Parquet."""
    import pyarrow.parquet as pq

    files = [lake.folder(one) / name for one in manifests[-1:] for name in one.files if name.endswith(".parquet")]
    if not files:
        return {}
    schema = pq.read_schema(files[0])
    columns = [
        dg.TableColumn(one.name, str(one.type), constraints=dg.TableColumnConstraints(one.nullable)) for one in schema
    ]
    return {SCHEMA: dg.TableSchema(columns)}


def _column(pipeline: Pipeline, feature: "Feature", sources: list[dg.TableColumnDep]) -> dg.TableColumn:
    read = ", ".join(f"{dep.asset_key.path[-1]}.{dep.column_name}" for dep in sources)
    least, largest = feature.range
    limits = [f"at least {least:g}"] if least is not None else []
    limits += [f"at most {largest:g}"] if largest is not None else []
    return dg.TableColumn(
        feature.name,
        "float",
        f"{feature.description} Unit: {feature.unit}{_window(pipeline, feature)}; absent: {feature.absent:g}"
        f"{f'; from {read}' if read else ''}.",
        constraints=dg.TableColumnConstraints(nullable=False, other=limits),
        tags={"family": feature.family},
    )


def _window(pipeline: Pipeline, feature: "Feature") -> str:
    if feature.window is None:
        return ""
    return f"; window: {getattr(pipeline.config.stages.features, feature.window)} days"


def _sources(pipeline: Pipeline, feature: "Feature") -> Iterator[dg.TableColumnDep]:
    from ok_ml.features.computing.lineage import columns_read

    for table, column in columns_read(feature):
        yield dg.TableColumnDep(keys.asset_key(pipeline.dataset_scope, table), column)
