"""Exact top-k: ours against BLAS with argpartition, implicit's own, and sgemm alone, which nothing without pruning can beat.

Everything runs on one thread, as one inference task does. Lengths of the vectors are lognormal, as ALS gives them: pruning
lives on that. With all lengths equal it gains nothing, which the second group of rows says.
"""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench.rows import Row, rate_rows
from bench.targets import Settings
from bench.timing import race, timed
from ok_ml.recommender.ids import SourceSets
from ok_ml.recommender.retrieval.exact_retrieval import Retriever

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACTORS, K, EXCLUDED_EACH, BATCH = 64, 200, 30, 128


def measure(settings: Settings) -> list[Row]:
    """Users a second over 100,000 sources; and whether the peers find the same."""
    from threadpoolctl import threadpool_limits

    sources, users = settings.size(100_000, 20_000), settings.size(1024, 512)
    with threadpool_limits(1):
        skewed = _rows(settings, f"top {K} of {sources:,}, skewed lengths", sources, users, sigma=0.8)
        return skewed + _rows(settings, f"top {K} of {sources:,}, equal lengths", sources, users // 2, sigma=0.0)


def _rows(settings: Settings, name: str, sources: int, users: int, sigma: float) -> list[Row]:
    from implicit.cpu.topk import topk

    source_factors, user_factors, excluded = _factors(settings.seed, sources, users, sigma)
    retriever, barred = Retriever(source_factors), _as_csr(excluded, sources)
    ours = partial(retriever.top_k, user_factors, excluded, K)
    brute = partial(_brute_force, user_factors, source_factors, excluded)
    implicit = partial(topk, source_factors, user_factors, K, filter_query_items=barred, num_threads=1)
    agreement = _agreement(ours()[0], brute())
    best = race(
        {
            "ours": timed(ours),
            "BLAS and argpartition": timed(brute),
            "implicit topk": timed(implicit),
            "sgemm alone (limit without pruning)": timed(partial(_products_only, user_factors, source_factors)),
        },
        settings.repeats,
    )
    return [
        *rate_rows(name, "users/s", users, best),
        Row(f"{name}: same sets", agreement, "share", "BLAS and argpartition", 1.0),
    ]


def _factors(
    seed: int, sources: int, users: int, sigma: float
) -> "tuple[NDArray[np.float32], NDArray[np.float32], SourceSets]":
    """Directions from a normal distribution, lengths of the sources from a lognormal one; 30 subscriptions a user."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((sources, FACTORS), np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    source_factors = (directions * rng.lognormal(0.0, sigma, (sources, 1))).astype(np.float32)
    user_factors = rng.standard_normal((users, FACTORS), np.float32)
    mine = np.sort(
        rng.integers(0, sources // EXCLUDED_EACH, (users, EXCLUDED_EACH))
        + np.arange(EXCLUDED_EACH) * (sources // EXCLUDED_EACH)
    )
    return source_factors, user_factors, SourceSets(np.arange(users + 1) * EXCLUDED_EACH, mine.ravel().astype(np.int32))


def _as_csr(excluded: SourceSets, sources: int) -> object:
    from scipy.sparse import csr_matrix

    return csr_matrix(
        (np.ones(len(excluded.indices), np.float32), excluded.indices, excluded.indptr), (excluded.users, sources)
    )


def _brute_force(
    users: "NDArray[np.float32]", sources: "NDArray[np.float32]", excluded: SourceSets
) -> "NDArray[np.int64]":
    """All scores of a batch, then a partial sort of each row."""
    found, rows = [], excluded.rows
    for start in range(0, len(users), BATCH):
        scores = users[start : start + BATCH] @ sources.T
        mine = (rows >= start) & (rows < start + BATCH)
        scores[rows[mine] - start, excluded.indices[mine]] = -np.inf
        best = np.argpartition(scores, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def _products_only(users: "NDArray[np.float32]", sources: "NDArray[np.float32]") -> None:
    out = np.empty((BATCH, len(sources)), np.float32)
    for start in range(0, len(users), BATCH):
        np.matmul(users[start : start + BATCH], sources.T, out=out[: len(users) - start])


def _agreement(ours: "NDArray[np.int32]", peers: "NDArray[np.int64]") -> float:
    """Share of the peer's sources that are in our list of the same user."""
    common = sum(len(np.intersect1d(mine, other)) for mine, other in zip(ours, peers, strict=True))
    return common / peers.size
