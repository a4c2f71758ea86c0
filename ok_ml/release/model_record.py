"""What is recorded of every model, whatever its type, when it is committed."""

from collections.abc import Mapping
from typing import Any

from ok_ml.lake import Manifest, tree_fingerprint
from ok_ml.release.training_recipe import recipe_of, settings_of
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.training import Register, Trained


def commit_model(
    pipeline: Pipeline,
    trained: Trained,
    register: Register,
    inputs: Mapping[str, str],
    *,
    rows: int,
    bins: str,
    dagster_run_id: str,
    **more: Any,
) -> Manifest:
    """Register a model and commit its staged bundle.

    Parameters
    ----------
    inputs
        Its record, taken before it was trained.
    rows
        That it has learnt from.
    bins
        Hash of the bins of its reference; empty or ``none`` where nothing is judged against it.
    more
        What its type says of it besides.
    """
    registered = register(trained)
    return pipeline.lake.commit(
        trained.bundle,
        rows=rows,
        data_version=tree_fingerprint(trained.bundle),
        inputs=dict(inputs),
        details={
            "model_version": registered.version,
            "mlflow_run_id": registered.mlflow_run_id,
            "bins": bins,
            "dagster_run_id": dagster_run_id,
            "sha256": trained.model.sha256,
            "serve_cut": pipeline.calendar().serve_cut,
            "recipe": recipe_of(pipeline),
            "settings": settings_of(pipeline.config),
            **more,
        },
    )
