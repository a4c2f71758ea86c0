"""The sensor that evaluates the automation conditions of every asset."""

import dagster as dg

_TICK_SECONDS = 10


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Runs by itself from the first start; sensors that start STOPPED retrain nothing."""
    return dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(include_sources=True),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_TICK_SECONDS,
        description="Retrain what is stale; predict and publish what is new.",
    )
