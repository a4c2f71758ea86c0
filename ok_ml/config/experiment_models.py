"""One pipeline instance from features to release: configs/experiments/<name>.yml."""

from typing import Literal

from pydantic import Field

from ok_ml.config.check_models import Severity
from ok_ml.config.frozen import Frozen, Share

Quantile = Literal["q01", "q05", "q25", "q50", "q75", "q95", "q99"]
Options = dict[str, bool | int | float | str]  # of an extension: whatever it reads


class EventsInput(Frozen):
    """The log that an experiment learns from."""

    name: str = Field(description="A dataset of configs/datasets.")
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
    neighbours: int = Field(default=200, ge=1, description="Similarities kept a source, the strongest.")
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
    builder: str = Field(default="candidates", description="candidates, or the path of a class of TrainingSetBuilder.")
    options: Options = Field(default_factory=dict, description="What a builder of the project reads.")


class ModelStage(Frozen):
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
    lambda_l2: float = Field(default=0.0, ge=0, description="L2 regularisation of the leaves.")
    folds: int = Field(
        default=1,
        ge=1,
        le=20,
        description="1: an eighth of the users judges the trees. More: cross-validation by users "
        "does, and all of them train; for data sets of few lists, where an eighth says little.",
    )
    num_threads: int = Field(default=2, ge=1, description="Pinned: part of the record.")


class EvaluationStage(Frozen):
    """What a model is judged on."""

    days: int = Field(default=3, ge=1, description="The newest days, never trained on.")
    k: tuple[int, ...] = (10, 50)
    bootstrap: int = Field(default=1000, ge=100, description="Bootstrap resamples of users for the intervals.")


class PredictionsStage(Frozen):
    """How many sources are weighed and how many are served."""

    candidates: int = Field(default=200, ge=10)
    top_n: int = Field(default=50, ge=1, le=100)


class Stages(Frozen):
    """Stages of pipeline type source_recommendation."""

    features: FeaturesStage
    embeddings: EmbeddingsStage = EmbeddingsStage()
    neighbours: NeighboursStage = NeighboursStage()
    training_set: TrainingSetStage = TrainingSetStage()
    model: ModelStage = ModelStage()
    evaluation: EvaluationStage = EvaluationStage()
    predictions: PredictionsStage = PredictionsStage()


class GateConfig(Frozen):
    """What a challenger must reach to be promoted."""

    metric: str = Field(default="ndcg@10", description="The metric that decides.")
    not_worse_than_champion: bool = True
    floor_over_popularity: float = Field(default=1.0, ge=0, description="Least ratio of the metric to popularity's.")
    fallback: Literal["simple", "none"] = Field(
        default="simple",
        description="Below the floor, without a learned champion: the best simple list, or nothing at all.",
    )


class FreshnessConfig(Frozen):
    """Ages at which what is served counts as stale."""

    model_days: float = Field(default=7.0, gt=0, description="Data days after which a model is stale.")
    predictions_hours: float = Field(default=26.0, gt=0, description="Data hours after which predictions are stale.")


class DriftConfig(Frozen):
    """Divergence of a feature from its reference, on frozen bins, that warns and that blocks: PSI, Jensen-Shannon."""

    psi_warn: float = Field(default=0.1, gt=0)
    psi_block: float = Field(default=0.25, gt=0)
    js_warn: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Jensen-Shannon divergence that warns, bits beyond chance; none: not judged.",
    )
    js_block: float | None = Field(default=None, gt=0, le=1, description="As js_warn, but blocks.")
    not_judged: tuple[str, ...] = Field(
        default=(), description="Features whose distribution follows the calendar; ranges still hold."
    )


class Bounds(Frozen):
    """Least and largest value; none: any."""

    min: float | None = None
    max: float | None = None


class Range(Bounds):
    """What a feature's statistics must stay within."""

    null_share: Share = Field(default=0.0, description="More nulls warn.")
    null_share_block: Share | None = Field(default=None, description="More block; none: checks.null_share_block.")
    quantiles: dict[Quantile, Bounds] = Field(default_factory=dict, description="quantile -> bounds.")
    severity: Severity = Field(default="block", description="Of a value out of min .. max.")
    quantile_severity: Severity = Field(default="warn", description="Of a quantile out of its bounds.")


class PredictionChecks(Frozen):
    """What a day's lists must look like before they are published; what breaks one of these limits is not."""

    least_users_served: Share = Field(default=0.98, description="Least share of the users of the day with a list.")
    least_length: int = Field(default=1, ge=0, description="Sources in the shortest list.")
    most_length: int = Field(default=100, ge=1, description="Sources in the longest list.")
    score_psi: float | None = Field(
        default=1.0, gt=0, description="PSI of the scores against the same model's generations before; none: any."
    )
    least_coverage: Share = Field(default=0.005, description="Least share of the catalogue in somebody's first 10.")
    most_top_share: Share = Field(
        default=0.9, description="Most places in the first 10 that the most frequent 1 % of the sources may hold."
    )
    least_overlap: Share = Field(
        default=0.02, description="Least mean Jaccard similarity of a first 10 with that of the generation before."
    )


class OnlineChecks(Frozen):
    """When what the served lists earn has fallen."""

    fall: float = Field(
        default=4.0,
        gt=0,
        description="Score below its band of ndcg, hit rate, share of impressions or reaction rate, of everybody; "
        "a normal score, of few numbers, hence lower than the limit of all series.",
    )


class ChecksConfig(Frozen):
    """Limits of the checks on features; no field of it enters the record of what is trained."""

    drift: DriftConfig = DriftConfig()
    null_share_block: Share = Field(default=0.01, description="Share of nulls of any feature that blocks.")
    ranges: dict[str, Range] = Field(
        default_factory=dict, description="feature name -> allowed range; replaces the default."
    )
    predictions: PredictionChecks = PredictionChecks()
    online: OnlineChecks = OnlineChecks()
    keys: Severity = Field(default="block", description="A user, source or pair that stands twice in a feature table.")
    columns: Severity = Field(
        default="block", description="A column or type of a feature table that is not as declared."
    )


class DeliveryConfig(Frozen):
    """How predictions travel, and how many generations stay readable."""

    partitions: int = Field(default=8, ge=1, description="Kafka partitions; must equal the dataset's parts.")
    keep_generations: int = Field(default=3, ge=1)


class RetrainingConfig(Frozen):
    """What calls for a training without a person, and how often it may."""

    causes: tuple[Literal["stale", "drift", "online", "config", "code"], ...] = Field(
        default=("stale", "drift", "online", "config", "code"),
        description="stale: freshness.model_days have passed. drift: features stay off the champion's reference, without being "
        "blocked. online: the check of the online metrics failed. config, code: the YAML or the code version that a training "
        "reads has changed. The first training needs no cause.",
    )
    cool_down_days: float = Field(
        default=1.0,
        gt=0,
        description="Days of data between a training that was judged and the next one for drift or online.",
    )
    drift_days: int = Field(default=2, ge=1, description="Days of data in a row that warn before drift is a cause.")
    retries_a_day: int = Field(
        default=1,
        ge=1,
        description="Retries of a failed training on one later day of data; none on the day of the failure.",
    )
    most_retries: int = Field(
        default=3, ge=0, description="Retries for one cause; after the last it waits for another cause or a person."
    )


class ReleaseConfig(Frozen):
    """Who starts a release: the daemon or a person."""

    cycle: Literal["automatic", "manual"] = Field(description="automatic: the daemon retrains and publishes by itself.")


class ExperimentConfig(Frozen):
    """One YAML file = one pipeline instance."""

    experiment: str
    pipeline_type: Literal["source_recommendation"]
    description: str = ""
    owners: tuple[str, ...] = Field(min_length=1)
    datasets: DatasetsInput
    stages: Stages
    gate: GateConfig = GateConfig()
    freshness: FreshnessConfig = FreshnessConfig()
    checks: ChecksConfig = ChecksConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    retraining: RetrainingConfig = RetrainingConfig()
    release: ReleaseConfig = ReleaseConfig(cycle="manual")
    seed: int = 20201
