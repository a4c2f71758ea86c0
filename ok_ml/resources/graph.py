"""The resources of the Dagster graph: what its steps work with, made from the project's YAML alone."""

import dagster as dg

from ok_ml.config.models import Project
from ok_ml.lake import Lake
from ok_ml.resources.mlflow import MlflowResource
from ok_ml.resources.spark import SparkResource


def graph_resources(project: Project) -> dict[str, dg.ResourceDefinition]:
    """`lake`, `broker`, `storage`, `mlflow` and `spark`: nothing is opened before a step that needs it uses it.

    Finished objects without a configuration of their own: whoever may launch a run could give Spark other settings, and with
    them code of their own in this process, or a lake or a broker that is not the deployment's.
    """
    environment = project.environment
    made = {
        "lake": Lake(project.lake_root),
        "broker": environment.kafka,
        "storage": environment.storage,
        "mlflow": MlflowResource(
            tracking_uri=environment.mlflow.tracking_uri, artifact_root=environment.mlflow.artifact_root
        ),
        "spark": SparkResource.of(project),
    }
    return {name: _without_configuration(resource) for name, resource in made.items()}


def _without_configuration(resource: object) -> dg.ResourceDefinition:
    def given(_context: dg.InitResourceContext) -> object:
        return resource

    return dg.ResourceDefinition(given, config_schema={})
