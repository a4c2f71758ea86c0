"""What every asset module needs: the project behind the graph, and how errors become Dagster failures."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from ok_ml.config.models import Project
from ok_ml.errors import OkMlError, may_pass, write_fault
from ok_ml.graph.automation_state import REASON, AutomationState
from ok_ml.graph.dagster_private import DagsterExecutionInterruptedError
from ok_ml.graph.table_columns import SCHEMA, written_columns
from ok_ml.lake import Manifest, fingerprint
from ok_ml.machine.locks import Holder, held, lock_path

if TYPE_CHECKING:
    from ok_ml.resources.spark import SparkResource


_STARTED_BY = {"dagster/sensor_name", "dagster/schedule_name", "dagster/from_automation_condition", "ok_ml/command"}
# What may be transient (a broker, storage or server that does not answer, a remote file) is tried again within the run; what
# is raised as permanent is not: Dagster asks for both, a policy here and `allow_retries` of the failure.
RETRIES: Final = dg.RetryPolicy(max_retries=3, delay=2.0, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@dataclass(frozen=True)
class Workbench:
    """The project, and what is around the work of every step."""

    project: Project

    @cached_property
    def automation(self) -> AutomationState:
        """What the automation conditions see; one for all of them, so that a tick looks once."""
        return AutomationState(self.project)

    @contextmanager
    def step(self, context: dg.AssetExecutionContext) -> Iterator[None]:
        """Around the work of an asset: errors become Dagster failures, and seconds, rows and memory are left for Prometheus."""
        from ok_ml.release.step_metrics import Step, measured

        keys_here = [key.path for key in sorted(context.selected_asset_keys)]
        scope, tables = keys_here[0][0], [path[-1] for path in keys_here]
        name = context.op_execution_context.op_def.name.removeprefix(f"{scope}__")
        days = context.partition_keys if context.has_partition_key or context.has_partition_key_range else []
        with measured(self.project, Step(scope, name, tables, days)), failures(), self._alone(context, scope):
            yield

    @contextmanager
    def _alone(self, context: dg.AssetExecutionContext, scope: str) -> Iterator[None]:
        """One step at a time makes tables of an experiment or a dataset: a step of the daemon waits for `ok-ml run`."""

        def say(who: Holder) -> None:
            context.log.info(f"waiting for {who}, which is at work on {scope}")

        with held(lock_path(self.project.state_dir, scope), busy=say, command=f"Dagster run {context.run.run_id[:8]}"):
            yield


@contextmanager
def failures() -> Iterator[None]:
    """Turn errors into Dagster failures: what may be transient is retried, everything else, mistakes included, is not."""
    try:
        yield
    except dg.Failure:
        raise
    except DagsterExecutionInterruptedError as error:  # by Ctrl-C, which the retries would take for a fault that passes
        raise dg.Failure(description="interrupted", allow_retries=False) from error
    except OkMlError as error:
        raise dg.Failure(description=str(error), allow_retries=error.retryable) from error
    except Exception as error:
        fault = write_fault(error)
        if fault is not None:
            raise dg.Failure(description=str(fault), allow_retries=False) from fault
        told = "".join(traceback.format_exception_only(error)).strip()
        raise dg.Failure(description=told, allow_retries=may_pass(error)) from error


def days_of(context: dg.AssetExecutionContext) -> list[str]:
    """The partitions of this run, ascending; a run without any would do nothing and say that it succeeded."""
    days = sorted(context.partition_keys)
    if not days:
        raise dg.Failure(
            "the partition range of this run holds no partition\n  why it matters: nothing would be made\n  what to do:     "
            "choose a range whose first day is not after its last one",
            allow_retries=False,
        )
    return days


def committed(
    context: dg.AssetExecutionContext, key: dg.AssetKey, manifests: list[Manifest], **metadata: Any
) -> dg.MaterializeResult[Any]:
    """The result of an asset whose partitions are now committed; row counts are recorded for each partition."""
    if context.has_partition_key or len(manifests) > 1:
        for manifest in manifests:
            context.add_asset_metadata(_of(manifest), asset_key=key, partition_key=manifest.partition)
        shown: dict[str, Any] = {}
    else:
        shown = _of(manifests[0]) if manifests else {}
    version = (
        fingerprint({m.partition: m.data_version for m in manifests})
        if len(manifests) != 1
        else manifests[0].data_version
    )
    declared = SCHEMA in context.assets_def.metadata_by_key.get(key, {})
    columns = {} if declared else written_columns(context.resources.lake, manifests)
    return dg.MaterializeResult(
        asset_key=key, metadata={**shown, **columns, **metadata}, data_version=dg.DataVersion(version)
    )


def _of(manifest: Manifest) -> dict[str, Any]:
    simple = {name: value for name, value in manifest.details.items() if isinstance(value, int | float | str)}
    return {
        "dagster/row_count": manifest.rows,
        "version": manifest.version,
        "content_hash": manifest.data_version,
        **simple,
    }


def reason_of(context: dg.AssetExecutionContext) -> str:
    """Why this run was started, as the automation conditions said; a person need give no reason."""
    return context.run.tags.get(REASON, "asked for by a person")


def is_asked_for(context: dg.AssetExecutionContext) -> bool:
    """Whether a person has asked for just this run: no sensor, no schedule, no `ok-ml run`, which do what is called for."""
    return not _STARTED_BY & set(context.run.tags)


def progress(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """A function that pure code may call with a line about how far it is."""

    def say(text: str) -> None:
        context.log.info(text)

    return say


def started(context: dg.AssetExecutionContext, spark: "SparkResource") -> Any:
    """The run's Spark session; the first one of a process takes some seconds, which is said."""
    context.log.info("Spark: starting, or joining the session of this process")
    return spark.session()


def plot_metadata(project: Project, path: Path) -> dg.MetadataValue:
    """Markdown with a picture that the project's HTTP service shows (`/plots/...`)."""
    return dg.MetadataValue.md(f"![{path.stem}]({_address(project, path)})")


def page_metadata(project: Project, path: Path) -> dg.MetadataValue:
    """The address of a page below the plots folder, which the project's HTTP service shows."""
    return dg.MetadataValue.url(_address(project, path))


def _address(project: Project, path: Path) -> str:
    relative = path.relative_to(project.state_dir / "plots")
    service = project.environment.service
    return f"http://{service.host}:{service.port}/plots/{relative.as_posix()}"


def table_metadata(rows: list[dict[str, Any]]) -> dg.MetadataValue:
    """Rows as a real table on the asset page; every row has the keys of the first."""
    kinds = {float: "float", int: "int", bool: "bool"}
    columns = (
        [dg.TableColumn(name, kinds.get(type(value), "string")) for name, value in rows[0].items()] if rows else []
    )
    records = [dg.TableRecord(data={name: _cell(row[name]) for name in rows[0]}) for row in rows]
    return dg.TableMetadataValue(records=records, schema=dg.TableSchema(columns=columns))


def _cell(value: Any) -> float | int | bool | str:
    if isinstance(value, float):
        return round(value, 5)
    return value if isinstance(value, int | bool | str) else str(value)
