"""Lists of vectors alone: a bundle without a ranker, and the predictions of one part."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import EmbeddingsStage
from ok_ml.lake import Lake
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.inference.scoring import PREDICTIONS_SCHEMA, predictions_table
from ok_ml.recommender.ranking.gather import NO_FEATURES
from ok_ml.recommender.ranking.rank_blocks import RankedLists
from ok_ml.recommender.ranking.ranking_context import Cut, CutPart, Tables
from ok_ml.recommender.retrieval.candidates import UserBlock
from ok_ml.recommender.retrieval.popularity import Popularity
from ok_ml.recommender.vectors.embeddings import Factors

FACTORS: Final = "factors"
STAGE_FILE: Final = "embeddings.json"


@dataclass(frozen=True)
class VectorBundle:
    """What scoring loads, apart from the day's snapshots.

    Attributes
    ----------
    stage
        How the vectors were fitted.
    """

    factors: Factors
    popularity: Popularity
    stage: EmbeddingsStage

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        self.factors.save(folder / FACTORS)
        self.popularity.save(folder)
        (folder / STAGE_FILE).write_text(json.dumps(self.stage.model_dump(mode="json")))

    @classmethod
    def load(cls, folder: Path) -> "VectorBundle":
        """Map the files of `save`."""
        stage = EmbeddingsStage(**json.loads((folder / STAGE_FILE).read_text()))
        return cls(Factors.load(folder / FACTORS), Popularity.load(folder), stage)


def rank_by_taste(part: CutPart, block: UserBlock, top_n: int) -> RankedLists:
    """Exact best of the vectors minus subscriptions; users without a vector get the fallback list."""
    sources, scores = part.cut.index.by_taste(block, top_n)
    reasons = np.full(sources.shape, c.REASON_TASTE, np.int8)
    cold = np.flatnonzero(block.factor_rows < 0)
    if len(cold):
        sources[cold], reasons[cold] = part.cut.index.fallback(block, cold, top_n)
        scores[cold] = np.where(sources[cold] == UNKNOWN, -np.inf, 1.0 / (np.arange(top_n) + 1))
    return RankedLists(sources, scores, reasons, block.factor_rows < 0)


def score_part(
    bundle_path: str, lake_root: str, dataset_scope: str, scope: str, dt: str, part: int, top_n: int
) -> pa.Table:
    """Predictions of every user of one part as of `dt`, ordered by user: a table of PREDICTIONS_SCHEMA."""
    bundle, tables = Path(bundle_path), Tables(Lake(lake_root), dataset_scope, scope)
    cut = _cut(bundle_path, lake_root, dataset_scope, scope, dt, _versions(bundle, tables, dt))
    mine = cut.part(part)
    made = [
        predictions_table(mine, block.user_ids, rank_by_taste(mine, block, top_n))
        for block in mine.blocks(np.arange(len(mine.users.user_ids)))
    ]
    return pa.concat_tables(made) if made else PREDICTIONS_SCHEMA.empty_table()


def part_mapper(
    bundle_path: str, lake_root: str, dataset_scope: str, scope: str, dt: str, folder: str, top_n: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow: scores the parts named in column `id` and reports on each."""

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from ok_ml.recommender.inference.batch import write_part
        from ok_ml.recommender.inference.vector_lists import score_part as score_one

        for batch in batches:
            for part in batch.column("id").to_pylist():
                yield write_part(score_one(bundle_path, lake_root, dataset_scope, scope, dt, part, top_n), part, folder)

    return score


@lru_cache(maxsize=1)
def _cut(bundle_path: str, lake_root: str, dataset_scope: str, scope: str, dt: str, _versions: tuple[Any, ...]) -> Cut:
    bundle, tables = VectorBundle.load(Path(bundle_path)), Tables(Lake(lake_root), dataset_scope, scope)
    return Cut.load(tables, dt, factors=bundle.factors, popularity=bundle.popularity, layout=NO_FEATURES)


def _versions(bundle: Path, tables: Tables, dt: str) -> tuple[str, ...]:
    """Changes whenever `_cut` would load something else."""
    files = [f"{path.name} {path.stat().st_mtime_ns}" for path in sorted(bundle.rglob("*")) if path.is_file()]
    shared = (c.SOURCES, c.SUBSCRIPTIONS)
    return (*files, *(tables.lake.manifest(tables.dataset_scope, table, dt).version for table in shared))
