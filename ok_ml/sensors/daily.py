"""A plain daily schedule of the batch, for those who want a fixed hour instead of, or in addition to, the conditions."""

import dagster as dg

from ok_ml.graph.automation_state import BATCH, DAY, REASON
from ok_ml.graph.dagster_private import UnresolvedAssetJobDefinition
from ok_ml.release.automation.automation_facts import batch_of
from ok_ml.stages.pipeline import Pipeline

_EVERY_DAY = "30 4 * * *"  # UTC: the day before has ended everywhere, and its log has had time to come


def daily_batch(pipeline: Pipeline, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Predict, publish and go live once a day. Off until it is switched on under Automation in the UI.

    It asks what the conditions ask: a day that is predicted already is skipped, so both together make one batch a day.
    """

    @dg.schedule(
        name=f"daily_{job.name}",
        job=job,
        cron_schedule=_EVERY_DAY,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Predict and publish the newest day of {pipeline.name} at 04:30 UTC, if that is not done yet.",
    )
    def daily() -> dg.RunRequest | dg.SkipReason:
        batch = batch_of(pipeline)
        if not batch.wanted.holds:
            return dg.SkipReason(batch.wanted.text)
        reason = f"it is 04:30 UTC, and {batch.wanted.text}"
        return dg.RunRequest(tags={REASON: reason, DAY: batch.dt, BATCH: f"{pipeline.name}:{batch.key}"})

    return daily
