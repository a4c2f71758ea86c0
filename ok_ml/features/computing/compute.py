"""Compute and commit the feature tables of several days in two Spark passes over their parts.

Spark gives every part to one task; a task reads its own event files, whatever the number of target days, and writes its
own files. So no event is ever shuffled: the first pass leaves each part's sums by source, which are added up, the second
writes the features of users and pairs. Counting goes in whole numbers, so the rows are the same however many tasks run.
"""

import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ok_ml import columns as c
from ok_ml.config.extensions import modules_to_ship
from ok_ml.config.models import DatasetConfig, FeaturesStage
from ok_ml.datasets.canonical.writing import rows_hash
from ok_ml.features.computing.part_tables import part_tables
from ok_ml.features.computing.plan import TABLES, Plan, make_plan
from ok_ml.features.computing.snapshots import read_links
from ok_ml.features.computing.social import Social
from ok_ml.features.computing.source_tables import Share, part_share, source_tables, total_share
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import FEATURES
from ok_ml.lake import Lake, Manifest, part_prefix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Inputs = Callable[[str, str], dict[str, str]]
DAYS_AT_ONCE: Final = 31  # target days of one pass: bounds the memory of a backfill
_WRITTEN: Final = pa.schema(
    [("dt", pa.string()), ("table", pa.string()), ("rows", pa.int64()), ("content", pa.string())]
)


def compute_features(
    spark: "SparkSession | None",
    lake: Lake,
    *,
    scope: str,
    dataset: DatasetConfig,
    stage: FeaturesStage,
    dts: Sequence[str],
    inputs_for: Inputs,
    tables: Sequence[str] = TABLES,
    features: tuple[Feature, ...] = FEATURES,
    leave_out: Collection[str] = (),
) -> dict[str, list[Manifest]]:
    """Compute the features of some days and commit them, every table of a day by its own manifest.

    Features of day D use events of partitions up to D and the snapshots of D, nothing else.

    Parameters
    ----------
    spark
        Runs the parts; None runs them in this process, one after the other, with the same rows as the result.
    scope
        Scope of the lake that is written: the experiment. What is read is the dataset's.
    inputs_for
        (dt, table) -> the record of what the partition is made from.
    tables
        Which tables; computing them together reads the events once for all.
    features
        What is computed: the shipped ones, or those and the project's.
    leave_out
        Days whose events no window holds, since they are blocked.

    Returns
    -------
    table -> manifests in the order of `dts`.

    Raises
    ------
    NotCommitted
        The events or a snapshot of one of the days are not committed.
    DataError
        The events break their contract.
    """
    ordered = sorted(set(dts))
    done: dict[str, dict[str, Manifest]] = {table: {} for table in tables}
    for start in range(0, len(ordered), DAYS_AT_ONCE):
        chunk = ordered[start : start + DAYS_AT_ONCE]
        with ExitStack() as stack:
            folders = {
                dt: {table: str(stack.enter_context(lake.staged(scope, table, dt))) for table in tables} for dt in chunk
            }
            plan = make_plan(lake, dataset, stage, folders, features, leave_out)
            written = _write_tables(spark, lake, plan)
            for dt, table, rows, version in _totals(written):
                done[table][dt] = lake.commit(
                    Path(folders[dt][table]), rows=rows, data_version=version, inputs=inputs_for(dt, table)
                )
    return {table: [done[table][dt] for dt in dts] for table in tables}


def _one(table: str, spark: "SparkSession | None", lake: Lake, **settings: Any) -> list[Manifest]:
    return compute_features(spark, lake, tables=(table,), **settings)[table]


compute_user_features = partial(_one, c.USER_FEATURES)
compute_source_features = partial(_one, c.SOURCE_FEATURES)
compute_pair_features = partial(_one, c.PAIR_FEATURES)
compute_user_topics = partial(_one, c.USER_TOPICS)


def _write_tables(spark: "SparkSession | None", lake: Lake, plan: Plan) -> pa.Table:
    """Write every file of every staged folder; returns one row a file, as `_WRITTEN`."""
    wanted = {table for target in plan.targets for table in target.folders}
    written = [_WRITTEN.empty_table()]
    friends = any(target.snapshots[c.FRIENDS] for target in plan.targets)
    needs_friends = friends and wanted & {c.USER_FEATURES, c.PAIR_FEATURES}
    with _scratch(lake) as scratch:
        if c.SOURCE_FEATURES in wanted or needs_friends:
            total = _total_share(spark, plan, scratch)
            if c.SOURCE_FEATURES in wanted:
                written += [
                    _write(Path(target.folders[c.SOURCE_FEATURES]), "all.parquet", target.dt, c.SOURCE_FEATURES, rows)
                    for target, rows in source_tables(plan, total)
                ]
            if needs_friends:
                plan = _with_social(plan, total, scratch)
        if wanted - {c.SOURCE_FEATURES}:
            written.append(_run_parts(spark, plan, _write_part, _WRITTEN))
    return pa.concat_tables(written)


@contextmanager
def _scratch(lake: Lake) -> Iterator[Path]:
    folder = lake.root / "_scratch" / f"features-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _total_share(spark: "SparkSession | None", plan: Plan, scratch: Path) -> Share:
    _run_parts(spark, plan, partial(_save_share, scratch), _WRITTEN)
    return total_share([Share.load(_share_path(scratch, part)) for part in range(plan.parts)])


def _save_share(scratch: Path, plan: Plan, part: int) -> pa.Table:
    aside = scratch / f"{part}-{uuid.uuid4().hex[:8]}.npz"  # a task may run twice: whole files only
    part_share(plan, part).save(aside)
    aside.replace(_share_path(scratch, part))
    return _WRITTEN.empty_table()


def _share_path(scratch: Path, part: int) -> Path:
    return scratch / f"{part_prefix(part)}.npz"


def _with_social(plan: Plan, total: Share, scratch: Path) -> Plan:
    for target in plan.targets:
        active = total.activity.of_day(target.day)
        subscriptions = read_links(target.snapshots[c.SUBSCRIPTIONS], c.SOURCE_ID)
        Social.of(subscriptions, active.ids, active.values[:, 0]).save(scratch / target.dt)
    return replace(plan, social=str(scratch))


def _write_part(plan: Plan, part: int) -> pa.Table:
    name = f"{part_prefix(part)}.parquet"
    written = [
        _write(Path(target.folders[table]), name, target.dt, table, rows)
        for target, table, rows in part_tables(plan, part)
    ]
    return pa.concat_tables([_WRITTEN.empty_table(), *written])


def _write(folder: Path, name: str, dt: str, table: str, rows: pa.Table) -> pa.Table:
    aside = folder / f".{name}.{uuid.uuid4().hex[:8]}"  # a task that is tried again leaves whole files only
    pq.write_table(rows, aside)
    aside.replace(folder / name)
    return pa.table([[dt], [table], [rows.num_rows], [f"{name}:{rows_hash(rows)}"]], schema=_WRITTEN)


def _totals(written: pa.Table) -> Iterator[tuple[str, str, int, str]]:
    """(dt, table, rows, data version) of every partition."""
    files_of: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for row in written.to_pylist():
        files_of.setdefault((row["dt"], row["table"]), []).append((row["content"], row["rows"]))
    for (dt, table), files in sorted(files_of.items()):
        text = ";".join(content for content, _ in sorted(files))
        yield dt, table, sum(rows for _, rows in files), str(xxhash.xxh3_64_hexdigest(text.encode()))


# -- running parts ---------------------------------------------------------------------------------------------------


def _run_parts(
    spark: "SparkSession | None", plan: Plan, task: Callable[[Plan, int], pa.Table], schema: pa.Schema
) -> pa.Table:
    """The rows of `task` for every part, in one Spark job with one task a part."""
    if spark is None:
        return pa.concat_tables([task(plan, part) for part in range(plan.parts)])
    from pyspark import cloudpickle
    from pyspark.sql.pandas.types import from_arrow_schema

    for module in modules_to_ship():  # features of the project travel with the task: workers need no file of it
        cloudpickle.register_pickle_by_value(module)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for part in batch.column(0).to_pylist():
                yield from task(plan, part).to_batches()

    parts = spark.range(0, plan.parts, 1, plan.parts)
    return parts.mapInArrow(run, from_arrow_schema(schema)).toArrow().cast(schema)
