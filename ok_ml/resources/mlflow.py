"""MLflow through dagster-mlflow: one MLflow run a Dagster run, never left RUNNING."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field


class MlflowResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tracking and registry, through dagster-mlflow's resource `mlflow_tracking`.

    That resource is not one of the graph's by itself, for three reasons that were seen. Its configuration names one MLflow
    experiment, and the graph has one for each of its experiments. It starts an MLflow run as soon as a step that may use it is
    set up, and importing it takes 7 to 13 s. What ends that run is a hook of jobs: a run that automation launches has none and
    leaves its MLflow run RUNNING. So each step that needs it initialises `mlflow_tracking` for as long as it works, with
    the Dagster run's MLflow run, and ends that with its own outcome.
    """

    tracking_uri: str = Field(description="sqlite:////absolute/path or a server's address.")
    artifact_root: str | None = Field(default=None, description="Folder or URI for the artifacts of new experiments.")

    @contextmanager
    def tracked(self, context: dg.AssetExecutionContext, experiment: str) -> Iterator[Any]:
        """The dagster-mlflow object with an active MLflow run, tagged with the Dagster run; ended when the block is left."""
        quiet()
        from dagster_mlflow import mlflow_tracking
        from mlflow.entities import RunStatus

        self._prepare(experiment)
        config = {
            "experiment_name": experiment,
            "mlflow_tracking_uri": self.tracking_uri,
            "extra_tags": {
                "asset": context.asset_key.to_user_string(),
                "mlflow.runName": context.run.job_name.strip("_").lower(),
            },
        }
        with dg.build_resources(
            {"mlflow": mlflow_tracking},
            instance=context.instance,
            resource_config={"mlflow": {"config": config}},
            dagster_run=context.run,
            log_manager=context.log,
        ) as resources:
            outcome = RunStatus.FAILED
            try:
                yield resources.mlflow
                outcome = RunStatus.FINISHED
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                outcome = RunStatus.KILLED
                raise
            finally:
                resources.mlflow.end_run(status=RunStatus.to_string(outcome))

    def client(self) -> Any:
        """A plain MlflowClient of the same store."""
        quiet()
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def close_leftovers(self, dagster_run_id: str) -> int:
        """Mark as FAILED what a killed process left RUNNING for a Dagster run; returns how many."""
        client = self.client()
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        left = client.search_runs(
            experiments, f"tags.dagster_run_id = '{dagster_run_id}' and attributes.status = 'RUNNING'"
        )
        for run in left:
            client.set_terminated(run.info.run_id, status="FAILED")
        return len(left)

    def _prepare(self, experiment: str) -> None:
        client = self.client()
        if client.get_experiment_by_name(experiment) is None:
            root = f"{self.artifact_root.rstrip('/')}/{experiment}" if self.artifact_root else None
            if root and "://" not in root:
                Path(root).mkdir(parents=True, exist_ok=True)
                root = root.replace("%", "%25")  # MLflow unquotes paths as if they were addresses
            client.create_experiment(experiment, artifact_location=root)


def quiet() -> None:
    """Keep MLflow from calling home, and its notes on tables and versions out of a run's progress."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    from mlflow.utils.logging_utils import disable_logging

    disable_logging()
