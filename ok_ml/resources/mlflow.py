"""MLflow through dagster-mlflow: one MLflow run a Dagster run, never left RUNNING."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
from pydantic import Field


class MlflowResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tracking and registry.

    dagster-mlflow's own hook belongs to jobs, so a run that automation launches would leave its MLflow run RUNNING.
    Here every asset opens the Dagster run's MLflow run for as long as it works and ends it with its own outcome.
    """

    tracking_uri: str = Field(description="sqlite:////absolute/path or a server's address.")
    artifact_root: str | None = Field(default=None, description="Folder or URI for the artifacts of new experiments.")

    @contextmanager
    def tracked(self, context: dg.AssetExecutionContext, experiment: str) -> Iterator[Any]:
        """The dagster-mlflow object with an active MLflow run, tagged with the Dagster run; ended on the way out."""
        quiet()
        from dagster_mlflow.resources import MlFlow
        from mlflow.entities import RunStatus

        self._prepare(experiment)
        shim = SimpleNamespace(
            log=context.log,
            dagster_run=SimpleNamespace(job_name=context.run.job_name.strip("_").lower()),
            run_id=context.run_id,
            resource_config={
                "experiment_name": experiment,
                "mlflow_tracking_uri": self.tracking_uri,
                "extra_tags": {"asset": context.asset_key.to_user_string()},
            },
        )
        tracked = MlFlow(shim)
        outcome = RunStatus.FAILED
        try:
            yield tracked
            outcome = RunStatus.FINISHED
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            outcome = RunStatus.KILLED
            raise
        finally:
            tracked.end_run(status=RunStatus.to_string(outcome))

    def client(self) -> Any:
        """A plain MlflowClient of the same store."""
        quiet()
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def close_leftovers(self, dagster_run_id: str) -> int:
        """Mark as FAILED what a killed process left RUNNING for a Dagster run; returns how many."""
        client = self.client()
        experiments = [found.experiment_id for found in client.search_experiments()]
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
