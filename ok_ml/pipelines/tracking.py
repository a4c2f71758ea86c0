"""What a training leaves in MLflow: parameters, metrics per step, plots, the resolved configuration, a registered version."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ok_ml.config.models import Project
from ok_ml.pipelines.source_recommendation import SourceRecommendation

MODEL_NAME_TAG = "ok_ml.experiment"


@dataclass
class Trained:
    """A model as `train_model` hands it to tracking.

    Attributes
    ----------
    bundle
        Folder with everything that scoring loads.
    model_file
        LightGBM's text model inside the bundle.
    feature_names
        In the order of the model's columns; all are float32.
    curve
        metric name -> value after each iteration on the validation slice.
    sample
        A few rows of features, float32 [rows, features], for the registry's signature.
    """

    bundle: Path
    model_file: Path
    sha256: str
    feature_names: list[str]
    params: dict[str, Any]
    metrics: dict[str, float]
    curve: dict[str, list[float]]
    sample: Any
    plots: dict[str, Path] = field(default_factory=dict)
    log_text: str = ""


def log_model(tracked: Any, project: Project, pipeline: SourceRecommendation, trained: Trained) -> tuple[int, str]:
    """Log a training into the active MLflow run and register it.

    Parameters
    ----------
    tracked
        The dagster-mlflow object of the Dagster run.

    Returns
    -------
    The registered version and the MLflow run id. The logged model carries feature names, order and dtypes as its signature.
    """
    import lightgbm
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    tracked.log_params({name: str(value) for name, value in trained.params.items()})
    tracked.log_metrics(trained.metrics)
    _log_curve(tracked, trained.curve)
    tracked.log_dict(pipeline.config.model_dump(mode="json"), "config/experiment.json")
    tracked.log_dict(pipeline.dataset.model_dump(mode="json"), "config/dataset.json")
    tracked.log_text(trained.log_text or "(the ranker printed nothing)", "training.log")
    for path in trained.plots.values():
        tracked.log_artifact(str(path), "plots")
    tracked.log_artifacts(str(trained.bundle), "bundle")
    tracked.set_tags({MODEL_NAME_TAG: pipeline.name, "sha256": trained.sha256, "size": project.size})
    booster = lightgbm.Booster(model_file=str(trained.model_file))
    frame = pd.DataFrame(trained.sample, columns=trained.feature_names)
    logged = mlflow.lightgbm.log_model(
        booster,
        name="ranker",
        signature=infer_signature(frame, booster.predict(frame)),
        pip_requirements=[f"lightgbm=={lightgbm.__version__}"],
        registered_model_name=pipeline.name,
    )
    run_id = tracked.active_run().info.run_id
    return int(logged.registered_model_version), str(run_id)


def log_evaluation(tracked: Any, rows: list[dict[str, Any]], plots: dict[str, Path]) -> None:
    """Log the comparison with the baselines into the active MLflow run, names as `model.metric.segment`."""
    values = {_metric_name(row): float(row["value"]) for row in rows}
    tracked.log_metrics(values)
    tracked.log_dict({"rows": rows}, "evaluation.json")
    for path in plots.values():
        tracked.log_artifact(str(path), "plots")


def _metric_name(row: dict[str, Any]) -> str:
    segment = "" if row.get("segment") in {None, "all"} else f".{row['segment']}"
    return f"{row['model']}.{row['metric']}{segment}".replace("@", "_at_").replace("+", "_plus")


def _log_curve(tracked: Any, curve: dict[str, list[float]]) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    import time

    run_id = tracked.active_run().info.run_id
    stamp = int(time.time() * 1000)
    points = [
        Metric(name.replace("@", "_at_"), value, stamp, step)
        for name, values in curve.items()
        for step, value in enumerate(values)
    ]
    for start in range(0, len(points), 500):
        MlflowClient(tracking_uri=tracked.tracking_uri).log_batch(run_id, metrics=points[start : start + 500])
