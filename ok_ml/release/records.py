"""What the tables of any type are made from: partitions that they read, and what else their records name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ok_ml import columns as c
from ok_ml.lake import WHOLE
from ok_ml.stages.pipeline import Pipeline

# -- partitions that are read --------------------------------------------------------------------------------------


def same(_pipeline: Pipeline, partition: str) -> Sequence[str]:
    """The same partition."""
    return [partition]


def whole(_pipeline: Pipeline, _partition: str) -> Sequence[str]:
    """The only partition."""
    return [WHOLE]


def predicted(pipeline: Pipeline, _partition: str) -> Sequence[str]:
    """The newest day with predictions."""
    return [pipeline.lake.latest(pipeline.name, c.PREDICTIONS)]


# -- what else a record names --------------------------------------------------------------------------------------


def seed(pipeline: Pipeline) -> dict[str, str]:
    """What is random."""
    return {"seed": str(pipeline.config.seed)}


def of_statistics(pipeline: Pipeline, _partition: str) -> Mapping[str, str]:
    """The bins on which the features are counted."""
    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    return {"bins": str(champion.details["bins"]) if champion else "none"}


def of_champion(pipeline: Pipeline, _partition: str) -> Mapping[str, str]:
    """The person who takes another decision."""
    from ok_ml.release.gate.refused_models import accepted_model

    accepted = accepted_model(pipeline)
    return {"accepted": f"{accepted.who} {accepted.when}"} if accepted is not None else {}


def of_predictions(pipeline: Pipeline, _partition: str) -> Mapping[str, str]:
    """The champion."""
    champion = pipeline.lake.manifest(pipeline.name, c.CHAMPION)  # its bundle holds everything that scoring loads
    return {"champion": f"{champion.data_version} {champion.details['model_version']}"}


def of_prediction_statistics(pipeline: Pipeline, partition: str) -> Mapping[str, str]:
    """The generation before: what the predictions are compared with."""
    from ok_ml.monitoring.series.live_history import live_before

    present = pipeline.lake.manifest(pipeline.name, c.PREDICTIONS, partition).version
    previous = live_before(pipeline.lake, pipeline.name, present)
    return {"before": f"{previous.data_dt} {previous.version}" if previous is not None else "none"}


def of_publication(pipeline: Pipeline, _partition: str) -> Mapping[str, str]:
    """Where it goes."""
    storage = pipeline.project.environment.storage
    return {"storage": f"{storage.backend} {storage.path or storage.url}"}


# -- the parts of the YAML -----------------------------------------------------------------------------------------


def stages(*names: str) -> Callable[[Any], Sequence[BaseModel]]:
    """Some of the YAML's stages."""

    def settings(pipeline: Pipeline) -> Sequence[BaseModel]:
        return [getattr(pipeline.config.stages, name) for name in names]

    return settings


def gate(pipeline: Pipeline) -> Sequence[BaseModel]:
    """The gate."""
    return [pipeline.config.gate]


def delivery(pipeline: Pipeline) -> Sequence[BaseModel]:
    """The delivery."""
    return [pipeline.config.delivery]
