"""How lists are compared: every model ranks for the users who found something new on the evaluation days."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ok_ml import columns as c
from ok_ml.quality.ranking.ranking_evaluation import ORACLE
from ok_ml.ranked_lists.fits import plain_popularity, recent_popularity
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.ranking.baselines import EMBEDDINGS_ALONE, POPULARITY, RECENT_POPULARITY
from ok_ml.stages.evaluation import CHAMPION_NAME
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.plot_files import plot_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport
    from ok_ml.quality.ranking.ranking_metrics import Relevance
    from ok_ml.recommender.ranking.ranking_context import Cut

    Lists = NDArray[np.int64]


class ListEvaluator(Evaluator["Lists"]):
    """Answers are lists: int64 [users, largest k] source ids, padded with -1."""

    floor = POPULARITY

    def __init__(self, pipeline: ListPipeline) -> None:
        self.pipeline, self.challenger = pipeline, pipeline.challenger

    # -- the question ----------------------------------------------------------------------------------------

    @cached_property
    def _question(self) -> "tuple[NDArray[np.int64], Relevance, list[str | None]]":
        return question(self.pipeline)

    @property
    def users(self) -> "NDArray[np.int64]":
        """Who is asked for."""
        return self._question[0]

    @property
    def cases(self) -> int:
        """Users."""
        return len(self.users)

    @property
    def about(self) -> str:
        """How many users, and which days."""
        return f"{self.cases:,} users with something new to find on {self.pipeline.evaluated_days()}"

    @property
    def nothing(self) -> str:
        """What is said where there is no user."""
        return nothing_new(self.pipeline)

    @property
    def k(self) -> int:
        """Length of the lists."""
        return max(self.pipeline.config.stages.evaluation.k)

    # -- answers ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def cut(self) -> "Cut":
        """The day before the evaluation days, with vectors that were fitted up to it."""

    def baselines(self) -> "Iterator[tuple[str, Lists]]":
        """The vectors alone, what is popular, and the oracle of a simulated network."""
        from ok_ml.recommender.ranking import baselines

        pipeline, cut, parts = self.pipeline, self.cut, self.pipeline.dataset.parts
        if self.challenger != EMBEDDINGS_ALONE:
            yield EMBEDDINGS_ALONE, baselines.embedding_lists(cut, parts, self.users, self.k)
        for model in cut.index.similar.models:
            yield model, baselines.neighbour_lists(cut, parts, self.users, self.k, model)
        recent = recent_popularity(pipeline, cut.dt)
        yield RECENT_POPULARITY, baselines.popularity_lists(cut, parts, self.users, self.k, recent)
        yield POPULARITY, self.floor_answers()
        if pipeline.dataset.world is not None:
            yield ORACLE, _oracle_lists(pipeline, self.users, self.k)

    def floor_answers(self) -> "Lists":
        """What is popular in the window of the vectors, without decay."""
        from ok_ml.recommender.ranking.baselines import popularity_lists

        plain = plain_popularity(self.pipeline, self.cut.dt)
        return popularity_lists(self.cut, self.pipeline.dataset.parts, self.users, self.k, plain)

    # -- the judgement ---------------------------------------------------------------------------------------

    def pairs(self, models: Sequence[str]) -> list[tuple[str, str]]:
        """The challenger with every model that is printed but the oracle; the vectors with popularity."""
        from ok_ml.recommender.ranking.baselines import CANDIDATE_SOURCES

        newest = self.challenger
        pairs = [
            *((newest, source) for source in CANDIDATE_SOURCES),
            (EMBEDDINGS_ALONE, POPULARITY),
            (newest, RECENT_POPULARITY),
            (newest, POPULARITY),
            (newest, CHAMPION_NAME),
        ]
        return list(dict.fromkeys(pair for pair in pairs if set(pair) <= set(models) and pair[0] != pair[1]))

    def report(self, answers: "dict[str, Lists]", pairs: Sequence[tuple[str, str]]) -> "EvaluationReport":
        """Lists of several models, judged on the evaluation days."""
        from ok_ml.quality.ranking.ranking_evaluation import evaluate

        pipeline, stage = self.pipeline, self.pipeline.config.stages.evaluation
        _, relevance, segments = self._question
        sources = pipeline.lake.manifest(pipeline.dataset_scope, c.SOURCES, pipeline.calendar().eval_cut).rows
        return evaluate(
            answers,
            relevance,
            segments,
            stage.k,
            seed=pipeline.config.seed,
            bootstrap=stage.bootstrap,
            catalogue_size=sources,
            pairs=list(pairs),
        )

    def by_case(self, answers: "Lists") -> "tuple[str, NDArray[np.float64]]":
        """The gate's metric of each user; of one that belongs to no single user, such as coverage, the ndcg."""
        from ok_ml.quality.ranking.ranking_metrics import user_metrics

        ks = self.pipeline.config.stages.evaluation.k
        metrics, asked = user_metrics(answers, self._question[1], ks), self.pipeline.config.gate.metric
        metric = asked if asked in metrics else f"ndcg@{min(ks)}"
        return metric, metrics[metric]

    def plots(self, report: "EvaluationReport") -> dict[str, Path]:
        """Models side by side, and by segment."""
        from ok_ml.quality.plots import evaluation_plots as plots

        pipeline = self.pipeline
        metric, ks = pipeline.config.gate.metric, pipeline.config.stages.evaluation.k
        paths = {"evaluation": plot_path(pipeline, "evaluation.png"), "segments": plot_path(pipeline, "segments.png")}
        plots.evaluation_bars(report, [metric, f"recall@{min(ks)}"], path=paths["evaluation"])
        shown = [name for name in (self.challenger, EMBEDDINGS_ALONE, POPULARITY) if name in report.models]
        plots.segment_chart(report, metric, list(dict.fromkeys(shown)), path=paths["segments"])
        return paths


def nothing_new(pipeline: ListPipeline) -> str:
    """What is said where an evaluation has no user."""
    return f"no user found anything new on {pipeline.evaluated_days()}"


def question(pipeline: ListPipeline) -> "tuple[NDArray[np.int64], Relevance, list[str | None]]":
    """Users registered at the cut who found something new on the evaluation days, what it was, and their segments."""
    from ok_ml.quality.ranking.ranking_metrics import Relevance
    from ok_ml.recommender.ranking.labels import relevance

    plan = pipeline.calendar()
    relevant = relevance(pipeline.lake, pipeline.dataset_scope, plan.eval_dts, pipeline.dataset.grades, plan.eval_cut)
    segments = _segments(pipeline, plan.eval_cut)
    known = np.isin(relevant.user_ids, np.fromiter(segments, np.int64, len(segments)))
    counts = np.diff(relevant.indptr)
    entries = np.repeat(known, counts)
    users = relevant.user_ids[known]
    indptr = np.concatenate(([0], np.cumsum(counts[known]))).astype(np.int64)
    judged = Relevance(indptr, relevant.source_ids[entries], relevant.grades[entries])
    return users, judged, [segments[user] for user in users.tolist()]


def _segments(pipeline: ListPipeline, dt: str) -> dict[int, str | None]:
    rows = pipeline.lake.read(pipeline.dataset_scope, c.USERS, [dt])
    names = rows[c.SEGMENT].to_pylist() if c.SEGMENT in rows.column_names else [None] * rows.num_rows
    return dict(zip(rows[c.USER_ID].to_pylist(), names, strict=True))


def _oracle_lists(pipeline: ListPipeline, users: "NDArray[np.int64]", k: int) -> "NDArray[np.int64]":
    from ok_ml.world.behaviour.oracle import oracle_top
    from ok_ml.world.log.commit import SUBSCRIPTIONS as RAW_SUBSCRIPTIONS
    from ok_ml.world.population.network import World

    plan, dataset = pipeline.calendar(), pipeline.dataset
    assert dataset.world is not None  # noqa: S101  the caller asks only where there is one
    world = World(dataset.world, dataset.parts)
    raw = pipeline.lake.read(pipeline.dataset_scope, RAW_SUBSCRIPTIONS, [plan.eval_cut])
    return oracle_top(
        world, users, world.day_of(plan.eval_cut), len(plan.eval_dts), _subscribed(pipeline, users), k, raw
    )


def _subscribed(pipeline: ListPipeline, users: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """What each of `users` (ascending) is subscribed to at the cut: indptr int64 [n + 1], source ids."""
    rows = pipeline.lake.read(pipeline.dataset_scope, c.SUBSCRIPTIONS, [pipeline.calendar().eval_cut])
    owners, sources = rows[c.USER_ID].to_numpy(), rows[c.SOURCE_ID].to_numpy()
    order = np.argsort(owners, kind="stable")
    owners, sources = owners[order], sources[order]
    kept = np.isin(owners, users)
    owners, sources = owners[kept], sources[kept]
    return np.concatenate(([0], np.searchsorted(owners, users, side="right"))).astype(np.int64), sources
