"""What the tables of a source_recommendation are made from: the days that they read, and what else their records name."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel

from ok_ml import columns as c
from ok_ml.config.extensions import BUILDERS, ENGINES, RANKERS, Kind, source_of
from ok_ml.lake import WHOLE, fingerprint
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation as P

# -- days that are read --------------------------------------------------------------------------------------------


def same(_pipeline: P, partition: str) -> Sequence[str]:
    """The same partition."""
    return [partition]


def whole(_pipeline: P, _partition: str) -> Sequence[str]:
    """The only partition."""
    return [WHOLE]


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


def evaluated(pipeline: P, _partition: str) -> Sequence[str]:
    """The days that the evaluation judges."""
    return pipeline.calendar().eval_dts


def eval_cut(pipeline: P, _partition: str) -> Sequence[str]:
    """The day before them."""
    return [pipeline.calendar().eval_cut]


def serve_cut(pipeline: P, _partition: str) -> Sequence[str]:
    """The newest day."""
    return [pipeline.calendar().serve_cut]


def popular(pipeline: P, _partition: str) -> Sequence[str]:
    """The days on which popularity is counted."""
    return pipeline.popularity_dts(pipeline.calendar().serve_cut)


def predicted(pipeline: P, _partition: str) -> Sequence[str]:
    """The newest day with predictions."""
    return [pipeline.lake.latest(pipeline.name, c.PREDICTIONS)]


def from_then_on(pipeline: P, partition: str) -> Sequence[str]:
    """A day and those after it that the evaluation would count."""
    from ok_ml.monitoring.series.online_metrics import window_from

    return [partition, *(window_from(pipeline, partition) or ())]


def _cuts(pipeline: P) -> list[str]:
    plan = pipeline.calendar()
    return [*(one.cut for one in plan.windows), plan.eval_cut, plan.serve_cut]


# -- what else a record names --------------------------------------------------------------------------------------


def weights(pipeline: P) -> dict[str, str]:
    """What an event is worth."""
    return {"weights": str(sorted(pipeline.dataset.weights.items()))}


def _grades(pipeline: P) -> dict[str, str]:
    return {"grades": str(sorted(pipeline.dataset.grades.items()))}


def _seed(pipeline: P) -> dict[str, str]:
    return {"seed": str(pipeline.config.seed)}


def _layout(pipeline: P) -> dict[str, str]:
    """The ranker's features in order, and what stands where there is no row, which no stored table says."""
    layout = pipeline.layout()
    return {"layout": fingerprint({"order": layout.feature_order(), "absent": dict(layout.absent)})}


def _code(pipeline: P, kind: Kind, named: str) -> dict[str, str]:
    """The hash of the project's own code behind a name; nothing for what is shipped."""
    source = source_of(kind, named, pipeline.project.root)
    return {named: source.sha256} if source is not None else {}


def of_statistics(pipeline: P, _partition: str) -> Mapping[str, str]:
    """The bins on which the features are counted."""
    found = pipeline.lake.find(pipeline.name, c.CHAMPION)
    return {"bins": str(found.details["bins"]) if found else "none"}


def of_embeddings(pipeline: P, _partition: str) -> Mapping[str, str]:
    """The cuts, what is random, what an event is worth, and the project's own engine."""
    engine = _code(pipeline, ENGINES, pipeline.config.stages.embeddings.engine)
    return {"cuts": " ".join(_cuts(pipeline)), **_seed(pipeline), **weights(pipeline), **engine}


def of_training_set(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What is random, how events are graded, the ranker's features, and the project's own builder."""
    builder = _code(pipeline, BUILDERS, pipeline.config.stages.training_set.builder)
    return {**_seed(pipeline), **_grades(pipeline), **_layout(pipeline), **builder}


def of_model(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What is random, what an event is worth, the ranker's features, and the project's own ranker."""
    ranker = _code(pipeline, RANKERS, pipeline.config.stages.model.ranker)
    return {**_seed(pipeline), **weights(pipeline), **_layout(pipeline), **ranker}


def of_evaluation(pipeline: P, _partition: str) -> Mapping[str, str]:
    """How events are graded."""
    return _grades(pipeline)


def of_champion(pipeline: P, _partition: str) -> Mapping[str, str]:
    """The person who takes another decision."""
    from ok_ml.release.refused_models import accepted_model

    accepted = accepted_model(pipeline)
    return {"accepted": f"{accepted.who} {accepted.when}"} if accepted is not None else {}


def of_predictions(pipeline: P, _partition: str) -> Mapping[str, str]:
    """The champion."""
    champion = pipeline.lake.manifest(pipeline.name, c.CHAMPION)  # its bundle holds vectors, popularity and parameters
    return {"champion": f"{champion.data_version} {champion.details['model_version']}"}


def of_prediction_statistics(pipeline: P, partition: str) -> Mapping[str, str]:
    """The generation before: what the lists are compared with."""
    from ok_ml.monitoring.series.live_history import live_before

    present = pipeline.lake.manifest(pipeline.name, c.PREDICTIONS, partition).version
    previous = live_before(pipeline.lake, pipeline.name, present)
    return {"before": f"{previous.data_dt} {previous.version}" if previous is not None else "none"}


def of_publication(pipeline: P, _partition: str) -> Mapping[str, str]:
    """Where it goes."""
    storage = pipeline.project.environment.storage
    return {"storage": f"{storage.backend} {storage.path or storage.url}"}


def of_online_metrics(pipeline: P, partition: str) -> Mapping[str, str]:
    """What was served, and how it is graded."""
    from ok_ml.monitoring.series.live_history import served_on

    served = served_on(pipeline.lake, pipeline.name, pipeline.dataset, partition)
    stage = pipeline.config.stages.evaluation
    graded = {"k": stage.k, "days": stage.days, "grades": sorted(pipeline.dataset.grades.items())}
    return {
        "config": fingerprint(graded),
        "served": served if isinstance(served, str) else f"{served.generation_name} {served.version}",
    }


# -- the parts of the YAML -----------------------------------------------------------------------------------------


def stages(*names: str) -> Callable[[P], Sequence[BaseModel]]:
    """Some of the YAML's stages."""

    def settings(pipeline: P) -> Sequence[BaseModel]:
        return [getattr(pipeline.config.stages, name) for name in names]

    return settings


def embedding_settings(pipeline: P) -> Sequence[BaseModel]:
    """The vectors' stages, and which log."""
    return [*stages("embeddings", "neighbours")(pipeline), pipeline.config.datasets]


def gate(pipeline: P) -> Sequence[BaseModel]:
    """The gate."""
    return [pipeline.config.gate]


def delivery(pipeline: P) -> Sequence[BaseModel]:
    """The delivery."""
    return [pipeline.config.delivery]
