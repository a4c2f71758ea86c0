"""The places of the YAML that name code, and the short names of our own implementations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Kind:
    """A place of the YAML that names code.

    Attributes
    ----------
    key
        Where it stands.
    what
        What is expected there, in words.
    known
        Short name -> dotted path of our own implementations.
    """

    key: str
    what: str
    known: Mapping[str, str]


FEATURES: Final = Kind("stages.features.extra", "a Feature or a tuple of them", {})
ENGINES: Final = Kind(
    "stages.embeddings.engine",
    "a class of EmbeddingEngine",
    {
        "implicit": "ok_ml.recommender.vectors.implicit_engine:ImplicitEngine",
        "spark": "ok_ml.recommender.vectors.spark_engine:SparkEngine",
    },
)
BUILDERS: Final = Kind(
    "stages.training_set.builder",
    "a class of TrainingSetBuilder",
    {
        "candidates": "ok_ml.recommender.ranking.training_set:CandidatesBuilder",
        "shown": "ok_ml.recommender.ranking.training_set:ShownBuilder",
    },
)
RANKERS: Final = Kind(
    "stages.model.ranker",
    "a class of Ranker",
    {
        "lightgbm": "ok_ml.recommender.ranking.lightgbm_ranker:LightGbmRanker",
        "simple_list": "ok_ml.recommender.ranking.column_ranker:ColumnRanker",
    },
)
EXPECTATIONS: Final = Kind("checks.expectations", "a class of a Great Expectations expectation", {})
