"""Scores all users in one Spark pass: one single-threaded task a part, no shuffle, then one commit."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ok_ml import columns as c
from ok_ml.errors import IntegrityError
from ok_ml.lake import Lake, Manifest, fingerprint, part_prefix

if TYPE_CHECKING:
    import pyarrow as pa

    from ok_ml.recommender.inference.scoring import ScoringJob

Mapper: TypeAlias = "Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]"
_REPORT_SCHEMA: Final = "part int, rows long, fallback_rows long, content string"


def score_all(
    session: Any,
    mapper: Callable[[str], Mapper],
    lake: Lake,
    scope: str,
    dt: str,
    parts: int,
    *,
    inputs: dict[str, str] | None = None,
    details: dict[str, Any] | None = None,
) -> Manifest:
    """Predict every user's list as of `dt` and commit it as predictions of experiment `scope`.

    Each task writes its part's file under a name of its own and renames it, so a task that runs twice leaves one file.

    Parameters
    ----------
    session
        A Spark session, classic or Connect. Its workers reach bundle and lake under the same paths.
    mapper
        Folder of the files -> a function for mapInArrow that writes the parts named in column `id`.
    parts
        Parts of the dataset, one task each.

    Returns
    -------
    The manifest; its data version is made of the content of the parts, whatever the order of tasks. `details` gains
    `fallback_rows`.

    Raises
    ------
    IntegrityError
        A part came back twice or not at all.
    """
    with lake.staged(scope, c.PREDICTIONS, dt) as folder:
        score = mapper(str(folder))
        reports = session.range(0, parts, 1, parts).mapInArrow(score, _REPORT_SCHEMA).toArrow().to_pylist()
        _require_all(reports, parts)
        return lake.commit(
            folder,
            rows=sum(report["rows"] for report in reports),
            inputs=inputs,
            data_version=fingerprint({str(report[c.PART]): report["content"] for report in reports}),
            details={**(details or {}), "fallback_rows": sum(report["fallback_rows"] for report in reports)},
        )


def part_mapper(job: "ScoringJob", folder: str) -> Mapper:
    """A function for mapInArrow: scores the parts named in column `id` and reports on each."""

    def score(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        from ok_ml.recommender.inference.batch import write_part
        from ok_ml.recommender.inference.scoring import score_part

        for batch in batches:
            for part in batch.column("id").to_pylist():
                yield write_part(score_part(job, part), part, folder)

    return score


def write_part(table: "pa.Table", part: int, folder: str) -> "pa.RecordBatch":
    """Write the predictions of one part into `folder`; returns the one-row report of it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from ok_ml.hashing import content_hash

    target = Path(folder) / f"{part_prefix(part)}.parquet"
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    pq.write_table(table, aside)
    aside.replace(target)
    fallback_rows = pc.sum(table[c.IS_FALLBACK], min_count=0).as_py()
    report = {
        c.PART: pa.array([part], pa.int32()),
        "rows": pa.array([table.num_rows], pa.int64()),
        "fallback_rows": pa.array([fallback_rows], pa.int64()),
        "content": pa.array([content_hash(table, [c.USER_ID])]),
    }
    return pa.RecordBatch.from_pydict(report)


def warm_kernels() -> None:
    """Compile the kernels once in this process, so that workers find the machine code on disk."""
    import numpy as np

    from ok_ml.recommender.ids import SourceSets
    from ok_ml.recommender.retrieval.activity import Activity, SourceWeights
    from ok_ml.recommender.retrieval.candidates import CandidateIndex, UserBlock
    from ok_ml.recommender.retrieval.fitted import Fitted
    from ok_ml.recommender.retrieval.neighbours import Neighbours, SparseRows
    from ok_ml.recommender.retrieval.popularity import Popularity
    from ok_ml.recommender.retrieval.retrieval_kernel import pair_scores
    from ok_ml.recommender.retrieval.snapshot import Catalogue
    from ok_ml.recommender.vectors.embeddings import Factors

    ids, vectors, none = np.arange(1, dtype=np.int64), np.ones((1, 2), np.float32), SourceSets.empty(1)
    popularity = Popularity(ids, (), np.ones((1, 1), np.int64))
    met = Activity(ids, ids, SparseRows.empty(1))
    fitted = Fitted(Factors(ids, ids, vectors, vectors), Neighbours.none(), popularity, popularity, popularity, met)
    index = CandidateIndex(Catalogue(ids, (None,)), fitted)
    nothing = SourceWeights(none, np.zeros(0, np.float32))
    index.candidates(UserBlock(ids, ids, ids, none, nothing, nothing, nothing), 1)
    pair_scores(vectors, vectors, ids, ids)


def _require_all(reports: list[dict[str, Any]], parts: int) -> None:
    reported = sorted(report[c.PART] for report in reports)
    if reported != list(range(parts)):
        raise IntegrityError(
            f"parts {reported} came back, expected 0 .. {parts - 1} once each",
            why="users of a missing part would be served nothing",
            remedy="run the predictions again",
        )
