"""How lists are compared: every model ranks for the users who found something new on the evaluation days."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.lake import Manifest
from ok_ml.places import place_of
from ok_ml.quality.ranking.policy_value import REACTION_RATE
from ok_ml.quality.ranking.ranking_evaluation import ORACLE, ORACLE_TASTES, ORACLES
from ok_ml.ranked_lists.exposures import ServedLog, served_log
from ok_ml.ranked_lists.novelty import NEVER_SHOWN, by_novelty
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.ranked_lists.policy_values import with_estimates
from ok_ml.recommender.ranking.column_ranker import EMBEDDINGS_ALONE, POPULARITY
from ok_ml.stages.evaluation import CHAMPION_NAME
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.plot_files import plot_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.config.models import PredictionsStage
    from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport, Score
    from ok_ml.quality.ranking.ranking_metrics import Relevance
    from ok_ml.quality.ranking.reliability import Reliability
    from ok_ml.ranked_lists.policy_values import Estimates
    from ok_ml.recommender.ranking.gather import FeatureLayout
    from ok_ml.recommender.ranking.ranker import Ranker
    from ok_ml.recommender.ranking.ranking_context import Cut
    from ok_ml.recommender.retrieval.fitted import Fitted

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

    @cached_property
    def _served(self) -> "ServedLog | str":
        return served_log(self.pipeline, self.pipeline.calendar().eval_dts)

    @cached_property
    def users(self) -> "NDArray[np.int64]":
        """Who is asked for, ascending: who found something new, and who was shown something because of a list."""
        found, served = self._question[0], self._served
        return found if isinstance(served, str) or not len(found) else np.union1d(found, served.user_ids)

    @property
    def cases(self) -> int:
        """Users who found something new."""
        return len(self._question[0])

    @property
    def judged_by(self) -> str:
        """What the judgement rests on, in words."""
        served = self._served
        if isinstance(served, str):
            return f"of what was shown, whoever chose it: {served}"
        shown, explored = len(served.exposures.rows), int(served.exposures.explored.sum())
        return f"of what would be shown, estimated from {shown:,} exposures, {explored:,} of which explored"

    @property
    def about(self) -> str:
        """How many users, and which days."""
        return f"{self.cases:,} users with something new to find on {self.pipeline.evaluated_days()}"

    @property
    def nothing(self) -> str:
        """What is said where there is no user."""
        return self.pipeline.nothing_new

    @property
    def k(self) -> int:
        """Length of the lists: twice the depth of the metrics, so that enough is left of a list with only some of the sources."""
        return 2 * max(self.pipeline.config.stages.evaluation.k)

    # -- answers ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def cut(self) -> "Cut":
        """The day before the evaluation days, with what was fitted up to it."""

    def lists_by(self, ranker: "Ranker", cut: "Cut | None" = None, stage: "PredictionsStage | None" = None) -> "Lists":
        """What a ranker would serve, by the code that serves; default: at the cut, as the YAML says."""
        from ok_ml.recommender.ranking.user_lists import ranked_lists

        stage = stage or self.pipeline.config.stages.predictions
        return ranked_lists(cut or self.cut, self.pipeline.dataset.parts, self.users, self.k, ranker, stage)

    def reliability(self) -> "Reliability | None":
        """What came of the newest model's probabilities on the evaluation days; None where its scores only order lists."""
        return None

    def simple_list(self, named: str) -> "Lists":
        """One of SIMPLE_LISTS."""
        from ok_ml.ranked_lists.bundles import undiversified
        from ok_ml.recommender.ranking.column_ranker import ColumnRanker

        stage = undiversified(self.pipeline.config.stages.predictions)
        return self.lists_by(ColumnRanker.of(named).ranker, stage=stage)

    def champion(self, manifest: Manifest) -> "Lists | None":
        """The champion as it serves: its ranker, on what its own recipe fits up to the evaluation.

        None for a champion that knows features which are not computed any more, whose fit cannot be repeated, or of a version
        that bundled its vectors.
        """
        from ok_ml.ranked_lists.fits import EVAL, fitted_for, refitted_by
        from ok_ml.recommender.inference.scoring import ScoringBundle
        from ok_ml.recommender.ranking.gather import cross_features
        from ok_ml.recommender.retrieval.fitted import RetrievalRecipe

        pipeline, folder = self.pipeline, self.pipeline.lake.folder(manifest)
        bundle = ScoringBundle.load(folder) if RetrievalRecipe.is_in(folder) else None
        if bundle is None or not bundle.layout.stored <= pipeline.layout().stored:
            return None
        if not set(bundle.layout.cross) <= set(cross_features(bundle.recipe.neighbours.models)):
            return None
        fitted = refitted_by(pipeline, bundle.recipe, fitted_for(pipeline, EVAL), self.cut.dt)
        if fitted is None:
            return None
        return self.lists_by(bundle.ranker, cut_of(pipeline, fitted, bundle.layout), bundle.stage)

    def baselines(self) -> "Iterator[tuple[str, Lists]]":
        """Every simple list, and the oracles of a simulated network."""
        for named in reversed(self.pipeline.simple_lists):
            yield named, self.simple_list(named)
        if self.pipeline.dataset.world is not None:
            yield from zip((ORACLE_TASTES, ORACLE), _oracle_lists(self.pipeline, self.users, self.k), strict=True)

    def floor_answers(self) -> "Lists":
        """What is popular in the window of the vectors, without decay."""
        return self.simple_list(POPULARITY)

    # -- the judgement ---------------------------------------------------------------------------------------

    def pairs(self, models: Sequence[str]) -> list[tuple[str, str]]:
        """The challenger with every model that is printed but the oracles; the vectors with popularity."""
        newest = self.challenger
        others = [name for name in models if name not in (newest, CHAMPION_NAME, *ORACLES)]
        pairs = [*((newest, name) for name in others), (EMBEDDINGS_ALONE, POPULARITY), (newest, CHAMPION_NAME)]
        return list(dict.fromkeys(pair for pair in pairs if set(pair) <= set(models) and pair[0] != pair[1]))

    def report(self, answers: "dict[str, Lists]", pairs: Sequence[tuple[str, str]]) -> "EvaluationReport":
        """Lists of several models, judged on the evaluation days."""
        from ok_ml.quality.ranking.ranking_evaluation import evaluate

        pipeline, stage = self.pipeline, self.pipeline.config.stages.evaluation
        users, relevance, segments = self._question
        sources = pipeline.lake.manifest(pipeline.dataset_scope, c.SOURCES, pipeline.calendar().eval_cut).rows
        asked = {name: self._of_question(lists) for name, lists in answers.items()}
        judged = evaluate(
            asked,
            relevance,
            segments,
            stage.k,
            seed=pipeline.config.seed,
            bootstrap=stage.bootstrap,
            catalogue_size=sources,
            pairs=list(pairs),
            strata=by_novelty(pipeline, users, relevance, asked),
        )
        report = replace(judged, scores=(*judged.scores, *self._diversities(asked), *self._of_probabilities()))
        return report if isinstance(self._served, str) else with_estimates(report, self.estimates(answers), pairs)

    def _diversities(self, answers: "dict[str, Lists]") -> "Iterator[Score]":
        """How unlike the sources of a list are, model by model."""
        from ok_ml.quality.ranking.ranking_metrics import diversity

        index = self.cut.index
        for model, lists in answers.items():
            places = index.catalogue.index(lists)
            rows = np.where(index.factor_rows[places] < 0, -1, places)
            for k in self.pipeline.config.stages.evaluation.k:
                yield self._alone(model, f"diversity@{k}", diversity(rows[:, :k], index.unit_vectors), len(lists))

    def _of_probabilities(self) -> "Iterator[Score]":
        """Whether the newest model's probabilities hold, over the places that are served."""
        seen = self._reliability
        if seen is None:
            return
        for k in self._depths:
            for metric, value in seen.first(k).metrics().items():
                yield self._alone(self.challenger, f"{metric}@{k}", value, len(seen.served))

    @cached_property
    def _reliability(self) -> "Reliability | None":
        return self.reliability()

    @property
    def _depths(self) -> tuple[int, ...]:
        """How much of a served list is judged, shortest first."""
        stages = self.pipeline.config.stages
        return tuple(sorted({min(k, stages.predictions.top_n) for k in stages.evaluation.k}))

    @staticmethod
    def _alone(model: str, metric: str, value: float, users: int) -> "Score":
        """A number without an interval."""
        from ok_ml.quality.ranking.bootstrap import Interval
        from ok_ml.quality.ranking.ranking_evaluation import EVERYBODY, Score

        return Score(model, metric, EVERYBODY, Interval(value, math.nan, math.nan, users))

    def estimates(self, answers: "dict[str, Lists]") -> "Estimates":
        """What lists would earn that are no oracle's. Raises DataError where the log cannot tell."""
        from ok_ml.ranked_lists.policy_values import estimates

        if isinstance(self._served, str):
            raise DataError(
                f"{self.pipeline.name}: {self._served}",
                why="what lists would earn is estimated from what was shown because of served ones",
                remedy="compare on what was shown: ok-ml try; or serve lists that explore, and log their generation",
            )
        pipeline = self.pipeline
        return estimates(
            self._served,
            self._reaction_cut,
            pipeline.dataset.parts,
            pipeline.config.stages.predictions.candidates,
            self.users,
            {name: lists for name, lists in answers.items() if name not in ORACLES},
            seed=pipeline.config.seed,
            threads=pipeline.config.threads,
            bootstrap=pipeline.config.stages.evaluation.bootstrap,
        )

    @property
    def _reaction_cut(self) -> "Cut":
        """The cut with every feature of the ranker; of a type without one, with all that needs no table of features."""
        from ok_ml.recommender.ranking.gather import FeatureLayout, cross_features

        if self.cut.layout.feature_order():
            return self.cut
        cross = cross_features(self.cut.index.similar.models)
        return replace(self.cut, layout=FeatureLayout((), (), (), {}, cross))

    def _of_question(self, answers: "Lists") -> "Lists":
        """The lists of those who found something new."""
        return answers[place_of(self.users, self._question[0])]

    def by_case(self, answers: "Lists") -> "tuple[str, NDArray[np.float64]]":
        """The gate's metric of each user; of one that belongs to no single user, such as coverage, the ndcg."""
        from ok_ml.quality.ranking.ranking_metrics import user_metrics

        ks = self.pipeline.config.stages.evaluation.k
        metrics = user_metrics(self._of_question(answers), self._question[1], ks)
        asked = self.pipeline.config.gate.metric
        metric = asked if asked in metrics else f"ndcg@{min(ks)}"
        return metric, metrics[metric]

    def plots(self, report: "EvaluationReport") -> dict[str, Path]:
        """Models side by side, and by segment; probabilities against what came."""
        from ok_ml.quality.plots import evaluation_plots as plots

        pipeline = self.pipeline
        metric, ks = pipeline.config.gate.metric, pipeline.config.stages.evaluation.k
        paths = {"evaluation": plot_path(pipeline, "evaluation.png"), "segments": plot_path(pipeline, "segments.png")}
        earned = [REACTION_RATE] if REACTION_RATE in report.metrics(self.challenger) else []
        metrics = [metric, f"recall@{min(ks)}", *earned]
        plots.evaluation_bars(report, metrics, stratum=NEVER_SHOWN, path=paths["evaluation"])
        shown = [name for name in (self.challenger, EMBEDDINGS_ALONE, POPULARITY) if name in report.models]
        plots.segment_chart(report, metric, list(dict.fromkeys(shown)), path=paths["segments"])
        seen = self._reliability
        if seen is not None and seen.served.any():
            paths["reliability"] = plot_path(pipeline, "reliability.png")
            curves = {f"first {k} places": seen.first(k).curve() for k in self._depths}
            told = f"{len(seen.served):,} users with history on {pipeline.evaluated_days()}; ten bins of equal counts"
            plots.reliability_chart(curves, told=told, path=paths["reliability"])
        return paths


def cut_of(pipeline: ListPipeline, fitted: "Fitted", layout: "FeatureLayout") -> "Cut":
    """The day before the evaluation days with what was fitted up to it."""
    from ok_ml.recommender.ranking.ranking_context import Cut

    return Cut.load(pipeline.tables, pipeline.calendar().eval_cut, fitted=fitted, layout=layout)


def question(pipeline: ListPipeline) -> "tuple[NDArray[np.int64], Relevance, list[str | None]]":
    """Users registered at the cut who found something new on the evaluation days, what it was, and their segments."""
    from ok_ml.quality.ranking.ranking_metrics import Relevance
    from ok_ml.recommender.ranking.labels import relevance

    plan = pipeline.calendar()
    relevant = relevance(pipeline.lake, pipeline.dataset_scope, plan.eval_dts, pipeline.dataset.grades, plan.eval_cut)
    segments = _segments(pipeline, plan.eval_cut)
    known = np.isin(relevant.user_ids, np.fromiter(segments, np.int64, len(segments)))
    users = relevant.user_ids[known]
    judged = Relevance(relevant.indptr, relevant.source_ids, relevant.grades).of_users(np.flatnonzero(known))
    return users, judged, [segments[user] for user in users.tolist()]


def _segments(pipeline: ListPipeline, dt: str) -> dict[int, str | None]:
    rows = pipeline.lake.read(pipeline.dataset_scope, c.USERS, [dt])
    names = rows[c.SEGMENT].to_pylist() if c.SEGMENT in rows.column_names else [None] * rows.num_rows
    return dict(zip(rows[c.USER_ID].to_pylist(), names, strict=True))


def _oracle_lists(pipeline: ListPipeline, users: "NDArray[np.int64]", k: int) -> "NDArray[np.int64]":
    """By tastes alone, and with the feed to come: int64 [2, users, k]."""
    from ok_ml.world.behaviour.oracle import oracle_top
    from ok_ml.world.log.commit import SUBSCRIPTIONS as RAW_SUBSCRIPTIONS
    from ok_ml.world.population.network import World

    plan, dataset = pipeline.calendar(), pipeline.dataset
    assert dataset.world is not None  # noqa: S101  the caller asks only where there is one
    world = World(dataset.world, dataset.parts)
    raw = pipeline.lake.read(pipeline.dataset_scope, RAW_SUBSCRIPTIONS, [plan.eval_cut])
    cut, days = world.day_of(plan.eval_cut), len(plan.eval_dts)
    subscribed = _subscribed(pipeline, users)
    return oracle_top(world, users, cut, days, subscribed, k, raw, feeds=(False, True))


def _subscribed(pipeline: ListPipeline, users: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """What each of `users` (ascending) is subscribed to at the cut: indptr int64 [n + 1], source ids."""
    rows = pipeline.lake.read(pipeline.dataset_scope, c.SUBSCRIPTIONS, [pipeline.calendar().eval_cut])
    owners, sources = rows[c.USER_ID].to_numpy(), rows[c.SOURCE_ID].to_numpy()
    order = np.argsort(owners, kind="stable")
    owners, sources = owners[order], sources[order]
    kept = np.isin(owners, users)
    owners, sources = owners[kept], sources[kept]
    return np.concatenate(([0], np.searchsorted(owners, users, side="right"))).astype(np.int64), sources
