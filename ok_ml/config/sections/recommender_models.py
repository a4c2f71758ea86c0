"""The parts of an experiment's YAML that recommend sources: what the recommender reads, and the limits of its lists."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ok_ml.config.sections.code_kinds import ENGINES, Kind
from ok_ml.config.sections.dataset_models import DatasetBase
from ok_ml.config.sections.experiment_models import (
    DatasetInput,
    EvaluationDays,
    ExperimentConfig,
    FeatureChecks,
    GateConfig,
    ModelThreads,
)
from ok_ml.config.sections.frozen import Frozen, KeyPath, Share

Options = dict[str, bool | int | float | str]  # of an extension: whatever it reads


class EventsInput(DatasetInput):
    """The log that an experiment learns from."""

    window_days: int = Field(ge=1, description="History that embeddings learn from, days.")


class DatasetsInput(Frozen):
    """Everything that an experiment reads."""

    events: EventsInput


class FeaturesStage(Frozen):
    """Windows of the feature families."""

    activity_days: int = Field(ge=1, description="Window of the activity family, days.")
    affinity_days: int = Field(ge=1, description="Window of the affinity, recency and content families, days.")
    popularity_days: int = Field(ge=1, description="Window of the popularity and social families, days.")
    extra: tuple[str, ...] = Field(default=(), description="Features of the project: paths like ideas/file.py:NAME.")


class EmbeddingsStage(Frozen):
    """The ALS fit of user and source vectors."""

    engine: str = Field(default="implicit", description="implicit, spark, or the path of a class of EmbeddingEngine.")
    options: Options = Field(default_factory=dict, description="What an engine of the project reads.")
    factors: int = Field(default=64, ge=2, le=1024)
    iterations: int = Field(default=12, ge=1)
    regularization: float = Field(default=10.0, ge=0)
    alpha: float = Field(default=5.0, gt=0, description="Confidence of an interaction: 1 + alpha * weight.")
    half_life_days: float | None = Field(
        default=None, gt=0, description="Decay of an interaction's weight; none: no decay."
    )
    impression_weight: float = Field(
        default=0.0, ge=0, description="Weight of being shown a source; 0: only reactions count."
    )


class NeighboursStage(Frozen):
    """Similarities between sources, from what the same users took to."""

    models: tuple[Literal["cosine", "ease"], ...] = Field(
        default=("cosine", "ease"), description="Each is a pool of candidates and a score of the ranker."
    )
    neighbours: int = Field(default=200, ge=1, description="Similarities retained per source, the strongest.")
    half_life_days: float | None = Field(default=None, gt=0, description="Decay of an interaction; none: no decay.")
    saturation: float = Field(default=1.0, gt=0, description="Weight of a pair beyond which more does not count.")
    alpha: float = Field(default=0.3, ge=0, le=1, description="cosine: below 0.5 leans towards popular sources.")
    shrinkage: float = Field(default=2.0, ge=0, description="cosine: distrust of pairs that few users share.")
    ease_sources: int = Field(default=3000, ge=1, description="ease: sources that it knows, the most popular.")
    ease_regularization: float = Field(default=500.0, gt=0, description="ease: its lambda, in users.")


class TrainingSetStage(Frozen):
    """Which rows the ranker learns from."""

    label_days: int = Field(default=3, ge=1, description="Days of labels before the evaluation days.")
    windows: int = Field(
        default=1, ge=1, description="How many such windows, one before the other; embeddings are fitted before each."
    )
    labels: Literal["partition", "window"] = Field(
        default="partition", description="What a list is labelled with: one partition's events, or all of its window's."
    )
    negatives_per_positive: int = Field(default=8, ge=1, description="Sampled candidates per positive row.")
    builder: str = Field(
        default="candidates", description="candidates, shown, or the path of a class of TrainingSetBuilder."
    )
    options: Options = Field(default_factory=dict, description="What a builder of the project reads.")


class ModelStage(ModelThreads):
    """The ranker."""

    ranker: str = Field(default="lightgbm", description="lightgbm, simple_list, or the path of a class of Ranker.")
    options: Options = Field(
        default_factory=dict,
        description="What a ranker of the project reads; of simple_list: list, such as popularity.",
    )
    objective: Literal["lambdarank", "rank_xendcg", "binary"] = Field(
        default="lambdarank", description="binary: each row alone, any grade counts; steadier where lists are few."
    )
    num_leaves: int = Field(default=31, ge=2)
    num_trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.07, gt=0)
    min_data_in_leaf: int = Field(default=50, ge=1)
    feature_fraction: float = Field(default=1.0, gt=0, le=1, description="Share of the features that a tree may use.")
    increasing: tuple[str, ...] = Field(
        default=(), description="Features that may only raise a score: knowledge that few lists cannot teach."
    )
    base_feature: str | None = Field(
        default=None, description="lightgbm: a feature that the score starts from; the trees learn what it lacks."
    )
    lambda_l2: float = Field(default=0.0, ge=0, description="L2 regularisation of the leaves.")
    folds: int = Field(
        default=1,
        ge=1,
        le=20,
        description="1: an eighth of the users judges the trees. More: cross-validation by users "
        "does, and all of them train; for data sets of few lists, where an eighth says little.",
    )


class EvaluationStage(EvaluationDays):
    """What a model is judged on."""

    k: tuple[int, ...] = (10, 50)


class PredictionsStage(Frozen):
    """How many sources are weighed, how many are served, and how alike the first ones may be."""

    candidates: int = Field(default=200, ge=10)
    top_n: int = Field(default=50, ge=1, le=100)
    exploration: float = Field(
        default=0.02,
        ge=0,
        le=0.2,
        description="Share of the places that hold another candidate, drawn with a known probability, so that other models can "
        "be judged by what comes of it; only where the log says what was shown because of a list (events.columns.generation).",
    )
    diversity: Share = Field(
        default=0.0,
        description="Weight of being unlike the sources above in the first ten (MMR, 1 - lambda); 0: order by score alone.",
    )


class PredictionChecks(Frozen):
    """What a day's lists must look like before they are published; what breaks one of these limits is not."""

    least_users_served: Share = Field(default=0.98, description="Least share of the users of the day with a list.")
    least_length: int = Field(default=1, ge=0, description="Sources in the shortest list.")
    most_length: int = Field(default=100, ge=1, description="Sources in the longest list.")
    score_psi: float | None = Field(
        default=1.0, gt=0, description="PSI of the scores against the same model's generations before; none: any."
    )
    least_coverage: Share = Field(default=0.005, description="Min share of the catalogue in any user's first 10.")
    most_top_share: Share = Field(
        default=0.9, description="Most places in the first 10 that the most frequent 1 % of the sources may hold."
    )
    least_overlap: Share = Field(
        default=0.02,
        description="Least mean Jaccard similarity of a first 10 with that of the generation before; after a new model it only warns.",
    )


class OnlineChecks(Frozen):
    """When what the served lists earn has fallen."""

    fall: float = Field(
        default=4.0,
        gt=0,
        description="Score below its band of ndcg, hit rate, share of impressions or reaction rate, of all users; "
        "a normal score, of few numbers, hence lower than the limit of all series.",
    )


class ListGate(GateConfig):
    """What a challenger that makes lists must reach to be promoted."""

    metric: str = Field(default="ndcg@10", description="The metric that decides.")
    floor_over_popularity: float = Field(default=1.0, ge=0, description="Least ratio of the metric to popularity's.")
    fallback: Literal["simple", "none"] = Field(
        default="simple",
        description="Below the floor, without a learned champion: the best simple list, or nothing at all.",
    )

    @property
    def floor(self) -> float:
        """Least ratio of the metric to the baseline's."""
        return self.floor_over_popularity


class ListChecks(FeatureChecks):
    """Limits of the checks on features and lists; no field of it enters the record of what is trained."""

    predictions: PredictionChecks = PredictionChecks()
    online: OnlineChecks = OnlineChecks()


class ListStages(Frozen):
    """What every pipeline that makes lists has."""

    embeddings: EmbeddingsStage = EmbeddingsStage()
    evaluation: EvaluationStage = EvaluationStage()
    predictions: PredictionsStage = PredictionsStage()


class ListExperiment(ExperimentConfig):
    """A YAML file whose predictions are ranked lists of the sources of a log."""

    datasets: DatasetsInput
    stages: ListStages
    gate: ListGate = ListGate()
    checks: ListChecks = ListChecks()

    def code(self) -> Iterator[tuple[Kind, str, KeyPath]]:
        """Everything of the stages that names code."""
        yield ENGINES, self.stages.embeddings.engine, ("stages", "embeddings", "engine")

    def problems(self, dataset: DatasetBase | None) -> Iterator[tuple[KeyPath, str]]:
        """What no single field can check."""
        yield from super().problems(dataset)
        ks = self.stages.evaluation.k
        cut = self.gate.metric.partition("@")[2]
        if cut and cut not in map(str, ks):
            known = ", ".join(map(str, ks))
            yield (
                ("gate", "metric"),
                f"expected a metric at one of stages.evaluation.k ({known}), got {self.gate.metric!r}",
            )
