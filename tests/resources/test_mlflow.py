"""The MLflow run of a Dagster run, through dagster-mlflow's own resource: one, tagged, and never left RUNNING."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ok_ml.resources.mlflow import MlflowResource

EXPERIMENT = "toy_sources"


@pytest.fixture
def mlflow(tmp_path: Path) -> MlflowResource:
    return MlflowResource(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", artifact_root=str(tmp_path / "50% artifacts"))


def step(work: Any, before: list[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    @dg.asset(name=f"step_{len(before)}", deps=before[-1:])
    def made(context: dg.AssetExecutionContext, mlflow: dg.ResourceParam[MlflowResource]) -> None:
        with mlflow.tracked(context, EXPERIMENT) as tracked:
            work(tracked)

    return made


def run(resource: MlflowResource, *works: Any) -> tuple[dg.ExecuteInProcessResult, Any]:
    """A Dagster run with an asset for each piece of work, one after the other, and the MLflow runs that there are then."""
    assets: list[dg.AssetsDefinition] = []
    for work in works:
        assets.append(step(work, assets))
    done = dg.materialize(assets, resources={"mlflow": resource}, raise_on_error=False)
    client = resource.client()
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    return done, found


def test_the_steps_of_a_run_share_one_mlflow_run_that_names_it(mlflow: MlflowResource) -> None:
    done, found = run(mlflow, lambda tracked: tracked.log_param("a", 1), lambda tracked: tracked.log_metric("b", 2.0))
    assert done.success
    [one] = found
    assert (one.data.params, one.data.metrics) == ({"a": "1"}, {"b": 2.0})
    assert one.info.status == "FINISHED"
    assert one.data.tags["dagster_run_id"] == done.run_id
    assert one.data.tags["asset"] == "step_1"
    assert one.info.run_name == done.dagster_run.job_name.strip("_").lower()
    assert "50%25 artifacts" in one.info.artifact_uri


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_step_that_does_not_end_well_ends_it_with_its_own_outcome(
    mlflow: MlflowResource, error: BaseException, status: str
) -> None:
    def fail(_tracked: Any) -> None:
        raise error

    try:
        done, found = run(mlflow, fail)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        client = mlflow.client()
        found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    else:
        assert not done.success
    assert [one.info.status for one in found] == [status]


def test_what_a_killed_process_left_running_is_closed(mlflow: MlflowResource) -> None:
    done, _ = run(mlflow, lambda tracked: None)
    client = mlflow.client()
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    left = client.create_run(experiment, tags={"dagster_run_id": done.run_id})
    assert mlflow.close_leftovers(done.run_id) == 1
    assert client.get_run(left.info.run_id).info.status == "FAILED"
    assert mlflow.close_leftovers(done.run_id) == 0
