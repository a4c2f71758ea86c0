"""What a training leaves in MLflow: parameters, metrics by iteration, plots, the resolved configuration, a registered version."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.training import Registered, Trained

if TYPE_CHECKING:
    from ok_ml.stages.evaluation import Evaluated

EXPERIMENT_TAG: Final = "ok_ml.experiment"
TRY_TAG: Final = "ok_ml.try"  # on the run of an attempt: its scope in the lake
_SIMPLE_LIST: Final = "simple_list"
_POINTS_AT_ONCE: Final = 500


def log_model(tracked: Any, pipeline: Pipeline, trained: Trained) -> Registered:
    """Log a training into the active MLflow run and register it.

    Parameters
    ----------
    tracked
        The dagster-mlflow object of the Dagster run.

    Returns
    -------
    The registered version. The logged model carries feature names, order and dtypes as its signature.
    """
    run_id = tracked.active_run().info.run_id
    tracked.log_params(_params(pipeline, trained))
    tracked.log_metrics({_name(name): value for name, value in trained.metrics.items()})
    _log_curve(tracked, run_id, trained.curve)
    tracked.log_dict(pipeline.config.model_dump(mode="json"), "config/experiment.json")
    tracked.log_dict(pipeline.dataset.model_dump(mode="json"), "config/dataset.json")
    tracked.log_text(trained.log, "training.log")
    for path in trained.plots.values():
        tracked.log_artifact(str(path), "plots")
    tracked.log_artifacts(str(trained.bundle), "bundle")
    tags = {
        EXPERIMENT_TAG: pipeline.name,
        "ok_ml.sha256": trained.model.sha256,
        "ok_ml.size": pipeline.project.size,
    }
    tracked.set_tags(tags)
    return Registered(_register(pipeline, trained, "ranker"), str(run_id))


def log_simple_list(tracked: Any, pipeline: Pipeline, trained: Trained) -> Registered:
    """Log a simple list, beside the model whose place it takes, into the active MLflow run and register it."""
    tracked.log_dict(dict(trained.params), f"{_SIMPLE_LIST}.json")
    tracked.log_artifacts(str(trained.bundle), f"{_SIMPLE_LIST}_bundle")
    tracked.set_tags({f"ok_ml.{_SIMPLE_LIST}": trained.params["list"]})
    return Registered(_register(pipeline, trained, _SIMPLE_LIST), str(tracked.active_run().info.run_id))


def log_evaluation(tracked: Any, evaluated: "Evaluated") -> None:
    """Log the comparison with the baselines into the active MLflow run, names as `model.metric`."""
    values = {_name(f"{row['model']}.{row['metric']}"): row["estimate"] for row in evaluated.of("score")}
    tracked.log_metrics({name: value for name, value in values.items() if value is not None})
    tracked.log_dict({"rows": evaluated.rows}, "evaluation.json")
    for path in evaluated.plots.values():
        tracked.log_artifact(str(path), "plots")


def log_attempt(client: Any, pipeline: Pipeline, attempt: str, change: str, rows: list[dict[str, Any]]) -> str:
    """A run of its own for an attempt, in its experiment: its metrics and what it changed. No model is registered.

    Parameters
    ----------
    client
        An MlflowClient.
    attempt
        The scope of the attempt.

    Returns
    -------
    The id of the MLflow run; empty if MLflow does not know the experiment yet, so before its first training.
    """
    from mlflow.entities import Metric

    experiment = client.get_experiment_by_name(pipeline.name)
    if experiment is None:
        return ""
    tags = {
        TRY_TAG: attempt,
        EXPERIMENT_TAG: pipeline.name,
        "ok_ml.change": change,
        "ok_ml.size": pipeline.project.size,
    }
    run_id = str(client.create_run(experiment.experiment_id, tags=tags, run_name=attempt).info.run_id)
    stamp = int(time.time() * 1000)
    metrics = [
        Metric(_name(f"{row['model']}.{row['metric']}"), row["estimate"], stamp, 0)
        for row in rows
        if row["kind"] == "score" and row["estimate"] is not None
    ]
    client.log_batch(run_id, metrics=metrics)
    client.log_dict(run_id, {"rows": rows}, "evaluation.json")
    client.set_terminated(run_id)
    return run_id


def _params(pipeline: Pipeline, trained: Trained) -> dict[str, str]:
    """The YAML's stages, number of trees included, and then what the ranker was really given."""
    own: dict[str, Any] = {"seed": pipeline.config.seed}
    for stage, values in pipeline.config.stages.model_dump(mode="json").items():
        own |= {f"{stage}.{name}": value for name, value in values.items()}
    own |= {f"model.{name}": value for name, value in trained.params.items()}
    return {name: str(value) for name, value in own.items()}


def _register(pipeline: Pipeline, trained: Trained, name: str) -> int:
    import pandas as pd
    from mlflow.models import infer_signature

    frame = pd.DataFrame(trained.sample, columns=trained.feature_names)
    signature = infer_signature(frame, trained.model.predict(trained.sample))
    log = _log_lightgbm if trained.load is None else _log_any
    return int(log(trained, name=name, signature=signature, registered_model_name=pipeline.name))


def _log_lightgbm(trained: Trained, **settings: Any) -> str:
    import lightgbm
    import mlflow

    booster = lightgbm.Booster(model_file=str(trained.file))
    packages = [f"lightgbm=={lightgbm.__version__}"]
    return str(mlflow.lightgbm.log_model(booster, pip_requirements=packages, **settings).registered_model_version)


def _log_any(trained: Trained, **settings: Any) -> str:
    """Any other model, as one that any MLflow client can ask; its files stand among the artifacts."""
    import mlflow

    load = trained.load

    class Asked(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def load_context(self, context: Any) -> None:
            assert load is not None  # noqa: S101 - the caller has asked
            self.model = load(Path(context.artifacts["ranker"]))

        def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # noqa: ARG002 - MLflow reads hints as a schema
            return self.model.predict(model_input.to_numpy("float32"))

    logged = mlflow.pyfunc.log_model(
        python_model=Asked(),
        artifacts={"ranker": str(trained.file.parent)},
        pip_requirements=["ok-ml"],
        **settings,
    )
    return str(logged.registered_model_version)


def _log_curve(tracked: Any, run_id: str, curve: Mapping[str, list[float]]) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    stamp = int(time.time() * 1000)
    points = [
        Metric(_name(f"curve.{name}"), value, stamp, step)
        for name, values in curve.items()
        for step, value in enumerate(values, 1)
    ]
    client = MlflowClient(tracking_uri=tracked.tracking_uri)
    for start in range(0, len(points), _POINTS_AT_ONCE):
        client.log_batch(run_id, metrics=points[start : start + _POINTS_AT_ONCE])


def _name(name: str) -> str:
    return name.replace("@", "_at_").replace("+", "_plus")
