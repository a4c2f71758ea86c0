"""The parts of an experiment's YAML that classify texts."""

from typing import Literal

from pydantic import Field

from ok_ml.config.sections.experiment_models import (
    DatasetInput,
    EvaluationDays,
    FeatureChecks,
    GateConfig,
    ModelThreads,
)
from ok_ml.config.sections.frozen import Frozen, Share


class TextsInput(DatasetInput):
    """The texts that an experiment learns from."""

    window_days: int = Field(default=90, ge=1, description="History that a model learns from, partitions.")


class TextDatasetsInput(Frozen):
    """Everything that an experiment reads."""

    texts: TextsInput


class TextModelStage(ModelThreads):
    """The model of the labels, and its decision."""

    kind: Literal["linear", "lightgbm", "naive_bayes"] = Field(
        default="linear",
        description="linear: a separator a label over hashed n-grams. lightgbm: trees over the same, reduced.",
    )
    word_ngrams: tuple[int, int] = Field(default=(1, 2), description="Shortest and longest n-gram of words.")
    char_ngrams: tuple[int, int] = Field(
        default=(2, 5), description="Shortest and longest n-gram of characters in words."
    )
    hash_bits: int = Field(default=18, ge=8, le=24, description="Hashed features a kind: 2 to this power.")
    regularization: float = Field(default=1.0, gt=0, description="linear: its C; the smaller, the smoother.")
    factors: int = Field(
        default=100, ge=2, le=1000, description="lightgbm: dimensions that the n-grams are reduced to."
    )
    num_leaves: int = Field(default=15, ge=2)
    num_trees: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=0.08, gt=0)
    positive: str | None = Field(
        default=None, description="The label that is decided for, such as spam; none: any label that is sure enough."
    )
    precision: Share = Field(default=0.95, description="Precision of the decisions on held-out texts.")
    held_out: Share = Field(
        default=0.2, description="Share of the texts that calibrate and decide, and are not learnt from."
    )


class TextEvaluationStage(EvaluationDays):
    """What a model is judged on."""

    share: Share = Field(default=0.25, description="Of a dataset of a single partition: the share of its texts.")


class TextPredictionsStage(Frozen):
    """Which texts are scored."""

    days: int | None = Field(
        default=None, ge=1, description="Texts of so many newest partitions; none: of all in the window."
    )


class TextStages(Frozen):
    """The stages that people set."""

    model: TextModelStage = TextModelStage()
    evaluation: TextEvaluationStage = TextEvaluationStage()
    predictions: TextPredictionsStage = TextPredictionsStage()


class TextGate(GateConfig):
    """What a challenger must reach to be promoted."""

    metric: str = Field(default="pr_auc", description="The metric that decides.")
    floor_over_prior: float = Field(
        default=1.5, ge=0, description="Least ratio of the metric to that of guessing by frequency."
    )

    @property
    def floor(self) -> float:
        """Least ratio of the metric to the baseline's."""
        return self.floor_over_prior


class LabelChecks(Frozen):
    """What label scores must be like before they are published; what breaks one of these limits is not."""

    least_texts_scored: Share = Field(default=1.0, description="Least share of the texts of the days with scores.")
    score_psi: float | None = Field(
        default=1.0,
        gt=0,
        description="PSI of the largest score against the same model's generations before; none: any.",
    )
    most_of_one_label: Share = Field(default=0.995, description="Most texts that may be decided for one label.")
    least_decided: Share = Field(default=0.0, description="Least share of the texts with a decision.")


class TextChecksConfig(FeatureChecks):
    """Limits of the checks; no field of it enters the record of what is trained."""

    predictions: LabelChecks = LabelChecks()
