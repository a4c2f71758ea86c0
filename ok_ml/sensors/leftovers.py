"""After a Dagster run ended in any way but success: no MLflow run of it is left RUNNING."""

import dagster as dg

from ok_ml.resources.mlflow import MlflowResource


def leftover_sensor() -> dg.SensorDefinition:
    """Closes the MLflow run of a Dagster run that failed; a killed process cannot close its own."""

    @dg.run_failure_sensor(
        name="close_mlflow_leftovers",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Mark the MLflow run of a failed Dagster run as FAILED.",
    )
    def close_mlflow_leftovers(context: dg.RunFailureSensorContext, mlflow: dg.ResourceParam[MlflowResource]) -> None:
        closed = mlflow.close_leftovers(context.dagster_run.run_id)
        if closed:
            context.log.info(f"{closed} MLflow run(s) of {context.dagster_run.run_id} marked as FAILED")

    return close_mlflow_leftovers
