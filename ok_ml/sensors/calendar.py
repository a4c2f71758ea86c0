"""New days: when the raw log has grown, tell Dagster and bring the day up to checked features."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ok_ml import keys
from ok_ml.config.models import Project
from ok_ml.errors import OkMlError

_TICK_SECONDS = 10


def calendar_sensor(project: Project, dataset: str, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """A sensor that adds the partitions which the raw log holds and requests one run for those not yet committed.

    One run covers all consecutive missing days, so that a fresh start loads four weeks at once. The run key names
    the raw versions: the same days with the same content are requested once, a day delivered again is ingested again.
    """

    @dg.sensor(
        name=f"new_days_of_{dataset}",
        job=job,
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Ingest the days that appear in the raw log of {dataset}.",
    )
    def new_days(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from ok_ml.datasets.ingest import raw_fingerprint, stale_partitions
        from ok_ml.lake import Lake

        config = project.datasets[dataset]
        try:
            wanted, stale = stale_partitions(config, Lake(project.lake_root), root=project.root)
        except OkMlError as error:
            return dg.SkipReason(str(error))
        name = keys.partitions_name(dataset)
        known = set(context.instance.get_dynamic_partitions(name))
        fresh = [dt for dt in wanted if dt not in known]
        requests = [dg.DynamicPartitionsDefinition(name=name).build_add_request(fresh)] if fresh else []
        if not stale:
            return dg.SensorResult(dynamic_partitions_requests=requests, skip_reason=None) if requests else dg.SkipReason("no new day")
        run_key = raw_fingerprint(config, Lake(project.lake_root), stale, root=project.root)
        tags = {"dagster/asset_partition_range_start": stale[0], "dagster/asset_partition_range_end": stale[-1]}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=run_key, tags=tags)], dynamic_partitions_requests=requests)

    return new_days
