"""The newest model against its baselines and the present champion, on days that none of them saw."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.lake import WHOLE, Manifest, fingerprint
from ok_ml.monitoring.plots.plot_files import plot_path
from ok_ml.pipelines.source_recommendation.fitting import (
    EVAL,
    candidate_popularity,
    factors_of,
    neighbours_of,
    plain_popularity,
    popularity_behind,
    recent_popularity,
    stage_behind,
)
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.quality.ranking.ranking_evaluation import ORACLE
from ok_ml.recommender.baselines import CANDIDATE_SOURCES, EMBEDDINGS_ALONE, POPULARITY, RECENT_POPULARITY, TWO_STAGE
from ok_ml.stages.evaluation import CHAMPION_NAME, EVALUATION_FILE, Evaluated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport
    from ok_ml.quality.ranking.ranking_metrics import Relevance
    from ok_ml.recommender.embeddings import Factors
    from ok_ml.recommender.gather import FeatureLayout
    from ok_ml.recommender.neighbours import Neighbours
    from ok_ml.recommender.popularity import Popularity
    from ok_ml.recommender.ranker import Ranker
    from ok_ml.recommender.ranking_context import Cut
    from ok_ml.recommender.scoring import ScoringBundle


def evaluate_model(pipeline: SourceRecommendation, *, progress: Callable[[str], None]) -> tuple[Manifest, Evaluated]:
    """Rank for every user who did something new on the evaluation days, judge, draw, commit.

    Where nobody did, the evaluation has no row: whoever reads it sees that nothing was judged.
    """
    inputs, asked = pipeline.inputs_of(c.EVALUATION), question(pipeline)
    users, rows, plots = len(asked[0]), list[dict[str, Any]](), dict[str, Path]()
    if users:
        report = _report(pipeline, *asked, progress=progress)
        rows, plots = report.rows(), _draw(pipeline, report)
    else:
        progress(nobody(pipeline))
    with pipeline.lake.staged(pipeline.name, c.EVALUATION, WHOLE) as folder:
        (folder / EVALUATION_FILE).write_text(json.dumps(rows, indent=1))
        manifest = pipeline.lake.commit(
            folder,
            rows=users,
            data_version=fingerprint({"rows": rows}),
            inputs=inputs,
            details={"users": users, "days": _days(pipeline)},
        )
    return manifest, Evaluated(rows, plots)


def judged(pipeline: SourceRecommendation, *, progress: Callable[[str], None]) -> "EvaluationReport":
    """The newest model, the champion and every baseline on the same users and days; nothing is written.

    Raises
    ------
    DataError
        Nobody found anything new on these days.
    """
    asked = question(pipeline)
    if not len(asked[0]):
        raise DataError(
            nobody(pipeline),
            why="a model that nothing can judge cannot be promoted",
            remedy="raise stages.evaluation.days, or check `grades` of the dataset",
        )
    return _report(pipeline, *asked, progress=progress)


def nobody(pipeline: SourceRecommendation) -> str:
    """What is said where an evaluation has no user."""
    return f"nobody found anything new on {_days(pipeline)}"


def _report(
    pipeline: SourceRecommendation,
    users: "NDArray[np.int64]",
    relevance: "Relevance",
    segments: list[str | None],
    *,
    progress: Callable[[str], None],
) -> "EvaluationReport":

    progress(f"{len(users):,} users with something new to find on {_days(pipeline)}")
    lists = ranked_lists(pipeline, users, progress=progress)
    return report_of(pipeline, lists, relevance, segments, _pairs(lists))


def report_of(
    pipeline: SourceRecommendation,
    lists: "dict[str, NDArray[np.int64]]",
    relevance: "Relevance",
    segments: list[str | None],
    pairs: list[tuple[str, str]],
) -> "EvaluationReport":
    """Lists of several models judged on the evaluation days; `pairs` of them are compared."""
    from ok_ml.quality.ranking.ranking_evaluation import evaluate

    stage = pipeline.config.stages.evaluation
    sources = pipeline.lake.manifest(pipeline.dataset_scope, c.SOURCES, pipeline.calendar().eval_cut).rows
    return evaluate(
        lists,
        relevance,
        segments,
        stage.k,
        seed=pipeline.config.seed,
        bootstrap=stage.bootstrap,
        catalogue_size=sources,
        pairs=pairs,
    )


def ranked_lists(
    pipeline: SourceRecommendation, users: "NDArray[np.int64]", *, progress: Callable[[str], None]
) -> "dict[str, NDArray[np.int64]]":
    """Model -> int64 [users, max k], padded with -1: the new model, the champion, the baselines, and the oracle if there is one."""
    from ok_ml.recommender import baselines

    plan, parts, k = pipeline.calendar(), pipeline.dataset.parts, max(pipeline.config.stages.evaluation.k)
    cut = cut_of_evaluation(pipeline)
    progress("ranking with the new model")
    lists = {TWO_STAGE: newest_lists(pipeline, users, cut)}
    champion = champion_lists(pipeline, users, k, cut)
    if champion is not None:
        lists[CHAMPION_NAME] = champion
    progress("ranking with the baselines")
    lists[EMBEDDINGS_ALONE] = baselines.embedding_lists(cut, parts, users, k)
    for model in cut.index.similar.models:
        lists[model] = baselines.neighbour_lists(cut, parts, users, k, model)
    for name, popularity in ((RECENT_POPULARITY, recent_popularity), (POPULARITY, plain_popularity)):
        lists[name] = baselines.popularity_lists(cut, parts, users, k, popularity(pipeline, plan.eval_cut))
    if pipeline.dataset.world is not None:
        progress("asking the oracle of the simulated network")
        lists[ORACLE] = _oracle_lists(pipeline, users, k)
    return lists


def newest_lists(pipeline: SourceRecommendation, users: "NDArray[np.int64]", cut: "Cut") -> "NDArray[np.int64]":
    """What the newest model would serve: int64 [users, max k], padded with -1."""
    ranker = _bundle(pipeline, pipeline.lake.manifest(pipeline.name, c.MODEL)).ranker
    return lists_by(pipeline, users, ranker, cut)


def lists_by(
    pipeline: SourceRecommendation, users: "NDArray[np.int64]", ranker: "Ranker", cut: "Cut"
) -> "NDArray[np.int64]":
    """What a ranker would serve at the cut of the evaluation, by the code that serves: int64 [users, max k], padded with -1."""
    from ok_ml.recommender.baselines import two_stage_lists
    from ok_ml.recommender.column_ranker import ColumnRanker

    ranker.require_features(cut.layout.feature_order())  # a model of another order of features would score nonsense
    k = max(pipeline.config.stages.evaluation.k)
    if isinstance(ranker, ColumnRanker):
        cut = replace(cut, index=replace(cut.index, popularity=popularity_behind(pipeline, ranker, cut.dt)))
    candidates = stage_behind(pipeline, ranker).candidates
    return two_stage_lists(cut, pipeline.dataset.parts, users, k, ranker, candidates)


def cut_of_evaluation(pipeline: SourceRecommendation) -> "Cut":
    """The day before the evaluation days, with vectors that were fitted up to it."""
    popularity = candidate_popularity(pipeline, pipeline.calendar().eval_cut)
    return _cut(
        pipeline, _Fit(factors_of(pipeline, EVAL), popularity, neighbours_of(pipeline, EVAL)), pipeline.layout()
    )


class _Fitted(Protocol):
    """What candidates come from, wherever it was fitted."""

    @property
    def factors(self) -> "Factors": ...

    @property
    def popularity(self) -> "Popularity": ...

    @property
    def neighbours(self) -> "Neighbours": ...


class _Fit(NamedTuple):
    factors: "Factors"
    popularity: "Popularity"
    neighbours: "Neighbours"


def _cut(pipeline: SourceRecommendation, fitted: _Fitted, layout: "FeatureLayout") -> "Cut":
    from ok_ml.recommender.ranking_context import Cut

    return Cut.load(
        pipeline.tables,
        pipeline.calendar().eval_cut,
        factors=fitted.factors,
        popularity=fitted.popularity,
        layout=layout,
        neighbours=fitted.neighbours,
    )


def _bundle(pipeline: SourceRecommendation, manifest: Manifest) -> "ScoringBundle":
    from ok_ml.recommender.scoring import ScoringBundle

    return ScoringBundle.load(pipeline.lake.folder(manifest))


def champion_lists(
    pipeline: SourceRecommendation, users: "NDArray[np.int64]", k: int, eval_cut: "Cut"
) -> "NDArray[np.int64] | None":
    """The champion as it serves: with its own vectors, unless they have already seen the evaluation days.

    A champion that knows features which are not computed any more cannot be ranked with; it is left out.
    """
    from ok_ml.recommender.baselines import two_stage_lists

    manifest = pipeline.lake.find(pipeline.name, c.CHAMPION)
    if manifest is None:
        return None
    bundle = _bundle(pipeline, manifest)
    if not set(bundle.layout.feature_order()) <= set(pipeline.layout().feature_order()):
        return None
    saw_the_days = str(manifest.details["serve_cut"]) > pipeline.calendar().eval_cut
    cut = _cut(pipeline, _fitted_again(pipeline, bundle, eval_cut) if saw_the_days else bundle, bundle.layout)
    return two_stage_lists(cut, pipeline.dataset.parts, users, k, bundle.ranker, bundle.stage.candidates)


def _fitted_again(pipeline: SourceRecommendation, bundle: "ScoringBundle", eval_cut: "Cut") -> _Fit:
    """What a bundle would hold, fitted up to the evaluation; models of the neighbours that it lacks name no candidates."""
    fitted = eval_cut.index
    models = {name: rows for name, rows in fitted.neighbours.models.items() if name in bundle.neighbours.models}
    popularity = popularity_behind(pipeline, bundle.ranker, eval_cut.dt)
    return _Fit(fitted.factors, popularity, replace(fitted.neighbours, models=models))


def _oracle_lists(pipeline: SourceRecommendation, users: "NDArray[np.int64]", k: int) -> "NDArray[np.int64]":
    from ok_ml.world.commit import SUBSCRIPTIONS as RAW_SUBSCRIPTIONS
    from ok_ml.world.network import World
    from ok_ml.world.oracle import oracle_top

    plan, dataset = pipeline.calendar(), pipeline.dataset
    assert dataset.world is not None  # noqa: S101  the caller asks only where there is one
    world = World(dataset.world, dataset.parts)
    raw = pipeline.lake.read(pipeline.dataset_scope, RAW_SUBSCRIPTIONS, [plan.eval_cut])
    return oracle_top(
        world, users, world.day_of(plan.eval_cut), len(plan.eval_dts), _subscribed(pipeline, users), k, raw
    )


def _subscribed(
    pipeline: SourceRecommendation, users: "NDArray[np.int64]"
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """What each of `users` (ascending) is subscribed to at the cut: indptr int64 [n + 1], source ids."""
    rows = pipeline.lake.read(pipeline.dataset_scope, c.SUBSCRIPTIONS, [pipeline.calendar().eval_cut])
    owners, sources = rows[c.USER_ID].to_numpy(), rows[c.SOURCE_ID].to_numpy()
    order = np.argsort(owners, kind="stable")
    owners, sources = owners[order], sources[order]
    kept = np.isin(owners, users)
    owners, sources = owners[kept], sources[kept]
    return np.concatenate(([0], np.searchsorted(owners, users, side="right"))).astype(np.int64), sources


def question(pipeline: SourceRecommendation) -> "tuple[NDArray[np.int64], Relevance, list[str | None]]":
    """Users registered at the cut who found something new on the evaluation days, what it was, and their segments."""
    from ok_ml.quality.ranking.ranking_metrics import Relevance
    from ok_ml.recommender.labels import relevance

    plan = pipeline.calendar()
    found = relevance(pipeline.lake, pipeline.dataset_scope, plan.eval_dts, pipeline.dataset.grades, plan.eval_cut)
    segments = _segments(pipeline, plan.eval_cut)
    kept = np.isin(found.user_ids, np.fromiter(segments, np.int64, len(segments)))
    counts = np.diff(found.indptr)
    entries = np.repeat(kept, counts)
    users = found.user_ids[kept]
    indptr = np.concatenate(([0], np.cumsum(counts[kept]))).astype(np.int64)
    judged = Relevance(indptr, found.source_ids[entries], found.grades[entries])
    return users, judged, [segments[user] for user in users.tolist()]


def _segments(pipeline: SourceRecommendation, dt: str) -> dict[int, str | None]:
    rows = pipeline.lake.read(pipeline.dataset_scope, c.USERS, [dt])
    names = rows[c.SEGMENT].to_pylist() if c.SEGMENT in rows.column_names else [None] * rows.num_rows
    return dict(zip(rows[c.USER_ID].to_pylist(), names, strict=True))


def _pairs(lists: "dict[str, NDArray[np.int64]]") -> list[tuple[str, str]]:
    pairs = [
        *((TWO_STAGE, source) for source in CANDIDATE_SOURCES),
        (EMBEDDINGS_ALONE, POPULARITY),
        (TWO_STAGE, POPULARITY),
        (TWO_STAGE, CHAMPION_NAME),
    ]
    return [pair for pair in pairs if set(pair) <= set(lists)]


def _days(pipeline: SourceRecommendation) -> str:
    days = pipeline.calendar().eval_dts
    return f"{days[0]} .. {days[-1]}"


def _draw(pipeline: SourceRecommendation, report: "EvaluationReport") -> dict[str, Path]:
    from ok_ml.quality.plots import evaluation_plots as plots

    metric, stage = pipeline.config.gate.metric, pipeline.config.stages.evaluation
    paths = {"evaluation": plot_path(pipeline, "evaluation.png"), "segments": plot_path(pipeline, "segments.png")}
    plots.evaluation_bars(report, [metric, f"recall@{min(stage.k)}"], path=paths["evaluation"])
    shown = [name for name in (TWO_STAGE, EMBEDDINGS_ALONE, POPULARITY) if name in report.models]
    plots.segment_chart(report, metric, shown, path=paths["segments"])
    return paths
