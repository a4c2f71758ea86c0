"""What the tables of a pipeline of lists are made from, whatever makes the lists."""

from collections.abc import Mapping, Sequence

from ok_ml import columns as c
from ok_ml.config.extensions import source_of
from ok_ml.config.sections.code_kinds import ENGINES
from ok_ml.lake import fingerprint
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.records import of_predictions, seed


def from_then_on(pipeline: ListPipeline, partition: str) -> Sequence[str]:
    """A day and those after it that the evaluation would count."""
    from ok_ml.ranked_lists.online_metrics import window_from

    return [partition, *(window_from(pipeline, partition) or ())]


def learnt(pipeline: ListPipeline, partition: str) -> Sequence[str]:
    """The window of the vectors that ends with a day."""
    return pipeline.learnt_dts(partition)


def judging_cuts(pipeline: ListPipeline, _partition: str) -> Sequence[str]:
    """The days before those that judge a half-life."""
    from ok_ml.ranked_lists.half_life import judging_windows

    return [one.cut for one in judging_windows(pipeline, pipeline.calendar().eval_cut)]


def evaluated(pipeline: ListPipeline, _partition: str) -> Sequence[str]:
    """The days that the evaluation judges."""
    return pipeline.calendar().eval_dts


def eval_cut(pipeline: ListPipeline, _partition: str) -> Sequence[str]:
    """The day before them."""
    return [pipeline.calendar().eval_cut]


def weights(pipeline: ListPipeline) -> dict[str, str]:
    """What an event is worth."""
    return {"weights": str(sorted(pipeline.dataset.weights.items()))}


def grades(pipeline: ListPipeline) -> dict[str, str]:
    """How events are graded."""
    return {"grades": str(sorted(pipeline.dataset.grades.items()))}


def of_fits(pipeline: ListPipeline, cuts: Sequence[str]) -> dict[str, str]:
    """The cuts, what is random, what an event is worth and how it is graded, the half-lives, and the project's own engine."""
    half_lives = f"{pipeline.popularity_half_life_days} {pipeline.activity_half_life_days}"
    return {
        "cuts": " ".join(cuts),
        "half_lives": half_lives,
        **seed(pipeline),
        **weights(pipeline),
        **grades(pipeline),
        **engine(pipeline, pipeline.config.stages.embeddings.engine),
    }


def of_evaluation(pipeline: ListPipeline, _partition: str) -> Mapping[str, str]:
    """How events are graded."""
    return grades(pipeline)


def of_online_metrics(pipeline: ListPipeline, partition: str) -> Mapping[str, str]:
    """What was served, and how it is graded."""
    from ok_ml.monitoring.series.live_history import served_on

    served = served_on(pipeline.lake, pipeline.name, pipeline.dataset, partition)
    stage = pipeline.config.stages.evaluation
    graded = {"k": stage.k, "days": stage.days, "grades": sorted(pipeline.dataset.grades.items())}
    return {
        "config": fingerprint(graded),
        "served": served if isinstance(served, str) else f"{served.generation_name} {served.version}",
    }


def of_retrieval(pipeline: ListPipeline, partition: str) -> Mapping[str, str]:
    """The champion, whose recipe it is, what is random, what an event is worth, and the project's own engine."""
    own = engine(pipeline, pipeline.config.stages.embeddings.engine)
    return {**of_predictions(pipeline, partition), **seed(pipeline), **weights(pipeline), **own}


def engine(pipeline: ListPipeline, named: str) -> dict[str, str]:
    """The hash of the project's own engine; nothing for one that is shipped."""
    source = source_of(ENGINES, named, pipeline.project.root)
    return {named: source.sha256} if source is not None else {}


def of_list_predictions(pipeline: ListPipeline, partition: str) -> Mapping[str, str]:
    """The champion, and what the day's candidates come from."""
    return {
        **of_predictions(pipeline, partition),
        "retrieval": fingerprint({**pipeline.inputs_of(c.RETRIEVAL, partition)}),
        "exploration": f"{pipeline.exploration:g}",
    }
