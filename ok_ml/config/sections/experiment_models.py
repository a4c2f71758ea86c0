"""What every experiment's YAML has, whatever its pipeline type: configs/experiments/<name>.yml.

The sections `datasets`, `stages`, `gate` and `checks` are the type's own: `ok_ml.config.pipeline_types` finds the model of a file
by its `pipeline_type`.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from ok_ml.config.sections.check_models import Severity
from ok_ml.config.sections.code_kinds import Kind
from ok_ml.config.sections.dataset_models import DatasetBase
from ok_ml.config.sections.expectation_models import ExperimentExpectations
from ok_ml.config.sections.frozen import Frozen, KeyPath, Share

Quantile = Literal["q01", "q05", "q25", "q50", "q75", "q95", "q99"]


class DatasetInput(Frozen):
    """A dataset that an experiment reads."""

    name: str = Field(description="A dataset of configs/datasets.")


class EvaluationDays(Frozen):
    """What a model is judged on."""

    days: int = Field(default=3, ge=1, description="The newest days, never trained on.")
    bootstrap: int = Field(default=1000, ge=100, description="Bootstrap resamples for the intervals.")


class ModelThreads(Frozen):
    """What every model is trained with."""

    num_threads: int = Field(default=2, ge=1, description="Pinned: part of the record.")


class GateConfig(Frozen):
    """What a challenger must reach to be promoted."""

    metric: str = Field(description="The metric that decides.")
    not_worse_than_champion: bool = Field(
        default=True, description="Compare with the champion, and another recipe with the anchor."
    )
    margin: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="How far another recipe may be below champion and anchor, share of their metric, beyond chance.",
    )

    @property
    def floor(self) -> float:
        """Least ratio of the metric to the floor baseline's."""
        return 1.0


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


class FeatureChecks(Frozen):
    """Limits of the checks on features; no field of it enters the record of what is trained."""

    drift: DriftConfig = DriftConfig()
    null_share_block: Share = Field(default=0.01, description="Share of nulls of any feature that blocks.")
    ranges: dict[str, Range] = Field(
        default_factory=dict, description="feature name -> allowed range; replaces the default."
    )
    keys: Severity = Field(default="block", description="A user, source or pair that stands twice in a feature table.")
    columns: Severity = Field(
        default="block", description="A column or type of a feature table that is not as declared."
    )
    expectations: tuple[ExperimentExpectations, ...] = Field(
        default=(), description="Expectations of Great Expectations, by table."
    )


class DeliveryConfig(Frozen):
    """How predictions travel, and how many generations stay readable."""

    partitions: int = Field(default=8, ge=1, description="Kafka partitions; must equal the dataset's parts.")
    keep_generations: int = Field(default=3, ge=1)


class RetrainingConfig(Frozen):
    """What triggers a training automatically, and how often."""

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

    cycle: Literal["automatic", "manual"] = Field(
        description="automatic: the daemon retrains and publishes automatically."
    )


class ExperimentConfig(Frozen):
    """One YAML file = one pipeline instance. A pipeline type gives `datasets`, `stages`, `gate` and `checks` their models."""

    experiment: str
    pipeline_type: str = Field(
        description="A folder of ok_ml/pipelines, or the path of a PipelineType below the project."
    )
    description: str = ""
    owners: tuple[str, ...] = Field(min_length=1)
    datasets: Any
    stages: Any
    gate: GateConfig
    freshness: FreshnessConfig = FreshnessConfig()
    checks: FeatureChecks = FeatureChecks()
    delivery: DeliveryConfig = DeliveryConfig()
    retraining: RetrainingConfig = RetrainingConfig()
    release: ReleaseConfig = ReleaseConfig(cycle="manual")
    seed: int = 20201

    @property
    def dataset_path(self) -> KeyPath:
        """Where the YAML names the dataset."""
        return ("datasets", next(iter(type(self.datasets).model_fields)), "name")

    @property
    def dataset(self) -> str:
        """The dataset that it reads."""
        named: DatasetInput = getattr(self.datasets, str(self.dataset_path[1]))
        return named.name

    @property
    def threads(self) -> int:
        """Threads that a model is trained with: part of its lineage."""
        return 1

    @property
    def feature_days(self) -> int:
        """The longest window of its features, days."""
        return 1

    def code(self) -> Iterator[tuple[Kind, str, KeyPath]]:
        """Everything of the stages that names code: its kind, the name, and the path of its key."""
        yield from ()

    def problems(self, dataset: DatasetBase | None) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002 - for types
        """What no single field can check: key and what is wrong; the dataset is None where it is broken itself."""
        drift = self.checks.drift
        if drift.psi_warn > drift.psi_block:
            yield (
                ("checks", "drift", "psi_warn"),
                f"expected at most psi_block ({drift.psi_block}), got {drift.psi_warn}",
            )
        if drift.js_warn is not None and drift.js_block is not None and drift.js_warn > drift.js_block:
            text = f"expected at most js_block ({drift.js_block}), got {drift.js_warn}"
            yield ("checks", "drift", "js_warn"), text
