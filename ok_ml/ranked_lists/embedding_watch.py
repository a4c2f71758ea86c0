"""Statistics of the vectors that are served, fit by fit."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.lake import Lake, Manifest
from ok_ml.quality.ranking.embedding_statistics import NearestSources, embedding_numbers, nearest_sources
from ok_ml.quality.statistics.number_series import GROUP, METRIC, series_table
from ok_ml.ranked_lists.fits import retrieval_of
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.vectors.embeddings import Factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAREST_TABLE: Final = (
    "embedding_neighbours"  # of a sample of sources, a partition a fit: what the next fit is held against
)
_NEAREST, _COSINES = "nearest", "cosines"


def build_embedding_statistics(pipeline: ListPipeline) -> Manifest:
    """Norms and neighbours of the newest day's fit, and how far it moved; commit under that day."""
    lake, name = pipeline.lake, pipeline.name
    cut = pipeline.calendar().serve_cut
    inputs, factors = pipeline.inputs_of(c.EMBEDDING_STATISTICS, cut), Factors.load(retrieval_of(pipeline, cut))
    near = nearest_sources(np.asarray(factors.source_ids), np.asarray(factors.source_factors))
    earlier = [dt for dt in lake.partitions(name, NEAREST_TABLE) if dt < cut]
    before = _read(lake, name, earlier[-1]) if earlier else None
    numbers = embedding_numbers(np.asarray(factors.user_factors), np.asarray(factors.source_factors), near, before)
    _write(lake, name, cut, near)
    return lake.write(
        name,
        c.EMBEDDING_STATISTICS,
        cut,
        series_table(numbers),
        sort_by=[METRIC, GROUP],
        inputs=inputs,
        details={"before": earlier[-1] if earlier else "none"},
    )


def _write(lake: Lake, name: str, cut: str, near: NearestSources) -> None:
    rows = pa.table(
        {
            c.SOURCE_ID: near.source_ids,
            _NEAREST: pa.array(near.nearest.tolist(), pa.list_(pa.int64())),
            _COSINES: pa.array(near.cosines.tolist(), pa.list_(pa.float32())),
        }
    )
    lake.write(name, NEAREST_TABLE, cut, rows, sort_by=[c.SOURCE_ID])


def _read(lake: Lake, name: str, cut: str) -> NearestSources:
    rows = lake.read(name, NEAREST_TABLE, [cut]).sort_by(c.SOURCE_ID)
    ids = rows[c.SOURCE_ID].to_numpy()
    return NearestSources(ids, _matrix(rows, _NEAREST, np.int64), _matrix(rows, _COSINES, np.float32))


def _matrix(rows: pa.Table, name: str, kind: type) -> "NDArray[Any]":
    flat = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(rows.num_rows, -1), dtype=kind)
