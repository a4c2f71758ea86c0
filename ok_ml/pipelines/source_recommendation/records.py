"""What the tables of a source_recommendation are made from: the days that they read, and what else their records name."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from ok_ml.config.extensions import source_of
from ok_ml.config.sections.code_kinds import BUILDERS, RANKERS, Kind
from ok_ml.lake import fingerprint
from ok_ml.pipelines.source_recommendation.plan import RankingPlan as P
from ok_ml.ranked_lists.list_records import grades, of_fits, weights
from ok_ml.release.records import seed, stages

# -- days that are read --------------------------------------------------------------------------------------------


def feature_window(pipeline: P, partition: str) -> Sequence[str]:
    """The days of events that a day's features count."""
    return pipeline.feature_dts(partition)


def embedding_windows(pipeline: P, _partition: str) -> Sequence[str]:
    """The days of events of every fit."""
    return sorted({dt for cut in _cuts(pipeline) for dt in pipeline.learnt_dts(cut)})


def labelled(pipeline: P, _partition: str) -> Sequence[str]:
    """The days whose features the training rows hold."""
    return [dt for dt, _ in pipeline.labelled_lists()]


def labels(pipeline: P, _partition: str) -> Sequence[str]:
    """The days whose events label them."""
    return pipeline.calendar().label_dts


def _cuts(pipeline: P) -> list[str]:
    plan = pipeline.calendar()
    return [*(one.cut for one in plan.windows), plan.eval_cut]


# -- what else a record names --------------------------------------------------------------------------------------


def _layout(pipeline: P) -> dict[str, str]:
    """The ranker's features in order, and what stands where there is no row, which no stored table says."""
    layout = pipeline.layout()
    return {"layout": fingerprint({"order": layout.feature_order(), "absent": dict(layout.absent)})}


def _code(pipeline: P, kind: Kind, named: str) -> dict[str, str]:
    """The hash of the project's own code behind a name; nothing for what is shipped."""
    source = source_of(kind, named, pipeline.project.root)
    return {named: source.sha256} if source is not None else {}


def of_embeddings(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What the fits are made from, besides events and snapshots."""
    return of_fits(pipeline, _cuts(pipeline))


def of_training_set(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What is random, how events are graded, the ranker's features, and the project's own builder."""
    builder = _code(pipeline, BUILDERS, pipeline.config.stages.training_set.builder)
    return {**seed(pipeline), **grades(pipeline), **_layout(pipeline), **builder}


def of_model(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What is random, what an event is worth and how it is graded, how many days are promised for, the features, and an own ranker."""
    ranker = _code(pipeline, RANKERS, pipeline.config.stages.model.ranker)
    promised = {"promised": str(len(pipeline.calendar().eval_dts))}
    return {**seed(pipeline), **weights(pipeline), **grades(pipeline), **promised, **_layout(pipeline), **ranker}


# -- the parts of the YAML -----------------------------------------------------------------------------------------


def embedding_settings(pipeline: P) -> Sequence[BaseModel]:
    """The vectors' stages, which log, and how long the windows are that judge a half-life."""
    return [*stages("embeddings", "neighbours", "evaluation")(pipeline), pipeline.config.datasets]
