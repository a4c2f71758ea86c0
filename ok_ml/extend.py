"""What code of a project works with, by one name each: features, rankers, engines, builders, stages, pipeline types.

Where these live inside the package may change; what this module offers stays. Each name is imported when it is asked for, so that
a file that declares a feature does not load what fits vectors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ok_ml import columns as columns
    from ok_ml.config.models import EmbeddingsStage as EmbeddingsStage
    from ok_ml.config.models import ListExperiment as ListExperiment
    from ok_ml.config.models import ListStages as ListStages
    from ok_ml.config.models import ModelStage as ModelStage
    from ok_ml.features.declared.feature import Feature as Feature
    from ok_ml.features.history.measures import ALL as ALL
    from ok_ml.features.history.measures import Measure as Measure
    from ok_ml.quality.statistics.number_series import Name as Name
    from ok_ml.quality.statistics.number_series import Number as Number
    from ok_ml.quality.statistics.number_series import series_table as series_table
    from ok_ml.recommender.ranking.ranker import Ranker as Ranker
    from ok_ml.recommender.ranking.ranker import TrainedRanker as TrainedRanker
    from ok_ml.recommender.ranking.ranker import TrainingRows as TrainingRows
    from ok_ml.recommender.ranking.training_set import WEIGHT as WEIGHT
    from ok_ml.recommender.ranking.training_set import CandidatesBuilder as CandidatesBuilder
    from ok_ml.recommender.ranking.training_set import TrainingSetBuilder as TrainingSetBuilder
    from ok_ml.recommender.ranking.training_set import TrainingTask as TrainingTask
    from ok_ml.recommender.vectors.embeddings import EmbeddingEngine as EmbeddingEngine
    from ok_ml.recommender.vectors.embeddings import Factors as Factors
    from ok_ml.recommender.vectors.embeddings import Interactions as Interactions
    from ok_ml.release.records import same as same
    from ok_ml.release.records import whole as whole
    from ok_ml.stages.pipeline import Pipeline as Pipeline
    from ok_ml.stages.stage import Grain as Grain
    from ok_ml.stages.stage import Made as Made
    from ok_ml.stages.stage import Phase as Phase
    from ok_ml.stages.stage import PipelineType as PipelineType
    from ok_ml.stages.stage import Read as Read
    from ok_ml.stages.stage import Stage as Stage
    from ok_ml.stages.stage import Step as Step
    from ok_ml.stages.stage import StepContext as StepContext
    from ok_ml.stages.stage import single as single

_PLACES: Final = {
    "ok_ml": ("columns",),
    "ok_ml.config.models": ("EmbeddingsStage", "ListExperiment", "ListStages", "ModelStage"),
    "ok_ml.features.declared.feature": ("Feature",),
    "ok_ml.features.history.measures": ("ALL", "Measure"),
    "ok_ml.quality.statistics.number_series": ("Name", "Number", "series_table"),
    "ok_ml.recommender.ranking.ranker": ("Ranker", "TrainedRanker", "TrainingRows"),
    "ok_ml.recommender.ranking.training_set": ("WEIGHT", "CandidatesBuilder", "TrainingSetBuilder", "TrainingTask"),
    "ok_ml.recommender.vectors.embeddings": ("EmbeddingEngine", "Factors", "Interactions"),
    "ok_ml.release.records": ("same", "whole"),
    "ok_ml.stages.pipeline": ("Pipeline",),
    "ok_ml.stages.stage": (
        "Grain",
        "Made",
        "Phase",
        "PipelineType",
        "Read",
        "Stage",
        "Step",
        "StepContext",
        "single",
    ),
}
_MODULE_OF: Final = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [*sorted(_MODULE_OF), "shipped_type"]  # noqa: PLE0604 - one list, not two


def shipped_type(name: str) -> "PipelineType[Any]":
    """A shipped pipeline type, to be extended by `dataclasses.replace`. Raises ConfigError that lists the known ones."""
    from pathlib import Path

    from ok_ml.config.pipeline_types import find_type

    shipped: PipelineType[Any] = find_type(name, Path.cwd())
    return shipped


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    return import_module(f"{module}.{name}") if module == "ok_ml" else getattr(import_module(module), name)
