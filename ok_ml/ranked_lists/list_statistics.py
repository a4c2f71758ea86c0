"""Numbers of a day's lists, and their declared limits."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.monitoring.series.live_history import Served, lists_folder, live_before, read_lists
from ok_ml.monitoring.series.score_reference import ScoreReference
from ok_ml.places import place_of
from ok_ml.quality.ranking import prediction_statistics as stats
from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.quality.statistics.bins import counts_on, freeze
from ok_ml.quality.statistics.number_series import GROUP, METRIC, series_table
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.prediction_kind import Limit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ok_ml.config.models import PredictionChecks

_COLUMNS: Final = [c.USER_ID, c.SOURCE_IDS, c.SCORES, c.REASONS, c.IS_FALLBACK]


def build_prediction_statistics(pipeline: Pipeline, *, progress: Callable[[str], None]) -> Manifest:
    """Count the newest predictions part by part, compared with the generation before; commit under their day."""
    lake, name = pipeline.lake, pipeline.name
    predictions = lake.manifest(name, c.PREDICTIONS, lake.latest(name, c.PREDICTIONS))
    dt, version = predictions.partition, int(predictions.details["model_version"])
    inputs = pipeline.inputs_of(c.PREDICTION_STATISTICS, dt)
    reference = ScoreReference.of(lake, name, dt, version)
    previous = live_before(lake, name, predictions.version)
    totals = _totals(pipeline, predictions, previous, reference.edges)
    drift = reference.psi(totals.scores.bin_counts) if reference.edges is not None else None
    users = lake.manifest(pipeline.dataset_scope, c.USERS, dt).rows
    same_model = previous is None or previous.model_version == version
    numbers = stats.prediction_numbers(totals, users, c.REASON_NAMES, drift, same_model=same_model)
    edges = freeze(totals.scores) if reference.edges is None else reference.edges
    counts = counts_on(totals.scores, edges) if reference.edges is None else totals.scores.bin_counts
    progress(f"statistics of {totals.users:,} lists of {dt}")
    return lake.write(
        name,
        c.PREDICTION_STATISTICS,
        dt,
        series_table(numbers),
        sort_by=[METRIC, GROUP],
        inputs=inputs,
        details={
            "model_version": version,
            "predictions": predictions.version,
            "data_dt": dt,
            "edges": edges.astype(np.float64).tolist(),
            "counts": counts.tolist(),
        },
    )


# -- counting --------------------------------------------------------------------------------------------------------


def _totals(
    pipeline: Pipeline, predictions: Manifest, previous: Served | None, edges: "NDArray[np.float32] | None"
) -> stats.Totals:
    lake, dt = pipeline.lake, predictions.partition
    sources = lake.read(pipeline.dataset_scope, c.SOURCES, [dt], columns=[c.SOURCE_ID])[c.SOURCE_ID].to_numpy()
    before = lists_folder(lake, pipeline.name, previous) if previous is not None else None
    totals = stats.Totals(np.unique(sources), edges)
    for part in range(pipeline.dataset.parts):
        mine = _part_lists(lake.folder(predictions), part)
        if mine is not None:
            held = _subscribed(pipeline, dt, part, mine)
            totals.add(mine, _part_lists(before, part) if before else None, held, len(c.REASON_NAMES))
    return totals


def _part_lists(folder: "Path", part: int) -> stats.PartLists | None:
    table = read_lists(folder, part, _COLUMNS)
    if table is None:
        return None
    table = table.sort_by(c.USER_ID).combine_chunks()
    return stats.PartLists(
        table[c.USER_ID].to_numpy(),
        _padded(table, c.SOURCE_IDS, np.int64, EMPTY),
        _padded(table, c.SCORES, np.float32, np.nan),
        _padded(table, c.REASONS, np.int8, -1),
        table[c.IS_FALLBACK].to_numpy(zero_copy_only=False).astype(bool),
    )


def _padded(table: pa.Table, name: str, kind: Any, empty: float) -> "NDArray[Any]":
    """A column of lists as an array [n, longest]."""
    column = table[name].combine_chunks()
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    values = np.full((len(lengths), max(int(lengths.max(initial=0)), 1)), empty, kind)
    values[np.arange(values.shape[1]) < lengths[:, None]] = column.flatten().to_numpy(zero_copy_only=False)
    return values


def _subscribed(pipeline: Pipeline, dt: str, part: int, mine: stats.PartLists) -> int:
    """Places of a part that hold a source which the user is subscribed to."""
    rows = pipeline.lake.read(
        pipeline.dataset_scope, c.SUBSCRIPTIONS, [dt], columns=[c.USER_ID, c.SOURCE_ID], part=part
    )
    users = place_of(mine.user_ids, rows[c.USER_ID].to_numpy())
    sources = rows[c.SOURCE_ID].to_numpy()[users >= 0]
    users = users[users >= 0]
    count = 0
    for at in range(0, len(users), 100_000):
        some = slice(at, at + 100_000)
        count += int((mine.lists[users[some]] == sources[some, None]).sum())
    return count


# -- limits ----------------------------------------------------------------------------------------------------------


def limits_of(checks: "PredictionChecks") -> Iterator[Limit]:
    """What `checks.predictions` of an experiment declares, and that no user is served what they are subscribed to.

    Where the lists that are served are beyond what a catalogue and its users make of lists, so may those of today be.
    """
    yield Limit(stats.USERS_SERVED, "least", checks.least_users_served, as_served=True)
    yield Limit(stats.LEAST_LENGTH, "least", checks.least_length, as_served=True)
    yield Limit(stats.MOST_LENGTH, "most", checks.most_length)
    if checks.score_psi is not None:
        yield Limit(stats.SCORE_PSI, "most", checks.score_psi)
    yield Limit(stats.COVERAGE, "least", checks.least_coverage, as_served=True)
    yield Limit(stats.TOP_SHARE, "most", checks.most_top_share, as_served=True)
    yield Limit(stats.OVERLAP, "least", checks.least_overlap, as_served=True)
    yield Limit(stats.NEW_MODEL_OVERLAP, "least", checks.least_overlap, warns=True)
    yield Limit(stats.SUBSCRIBED_PAIRS, "most", 0.0, always=True)
