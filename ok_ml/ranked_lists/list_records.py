"""What the tables of a pipeline of lists are made from, whatever makes the lists."""

from collections.abc import Mapping, Sequence

from ok_ml.lake import fingerprint
from ok_ml.ranked_lists.pipeline import ListPipeline


def from_then_on(pipeline: ListPipeline, partition: str) -> Sequence[str]:
    """A day and those after it that the evaluation would count."""
    from ok_ml.ranked_lists.online_metrics import window_from

    return [partition, *(window_from(pipeline, partition) or ())]


def weights(pipeline: ListPipeline) -> dict[str, str]:
    """What an event is worth."""
    return {"weights": str(sorted(pipeline.dataset.weights.items()))}


def grades(pipeline: ListPipeline) -> dict[str, str]:
    """How events are graded."""
    return {"grades": str(sorted(pipeline.dataset.grades.items()))}


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
