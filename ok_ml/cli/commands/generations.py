"""`ok-ml generations` and `ok-ml rollback`: which sets of predictions are stored, and which one is served."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import Settings, command, known_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.delivery.manifest import GenerationInfo
    from ok_ml.delivery.storage import PredictionStore


@command("generations", examples=["ok-ml generations prod_discovery", "ok-ml generations prod_discovery --json"])
@click.argument("experiment")
def generations(settings: Settings, *, experiment: str, as_json: bool) -> None:
    """List the generations that the storage keeps, and which is served."""
    project = settings.project()
    name = known_experiment(project, experiment)
    with _store(project) as store:
        rows = [_row(info) for info in store.generations(name)]
    if as_json:
        write_json(rows)
        return
    if not rows:
        say(f"{name} has no generation yet: ok-ml run {name}")
        return
    headers = ["generation", "state", "age_seconds", "model_version", "data_dt", "predictions", "sources"]
    cells = [[_words(header, row[header]) for header in headers] for row in rows]
    shown = ["age" if header == "age_seconds" else header.replace("_", " ") for header in headers]
    write_table(shown, cells, right=["age", "model version", "predictions", "sources"])


@command(
    "rollback", examples=["ok-ml rollback prod_discovery", "ok-ml rollback prod_discovery --to 20260105-101500-123"]
)
@click.argument("experiment")
@click.option("--to", "target", metavar="GENERATION", help="Which one; default: the one before.")
def rollback(settings: Settings, *, experiment: str, target: str | None, as_json: bool) -> None:
    """Serve an older generation again, at once.

    Newer ones are withdrawn: they do not come back by themselves, and a second rollback goes further back.
    """
    from ok_ml.delivery.generation_ids import generation_name, parse_generation

    project = settings.project()
    name = known_experiment(project, experiment)
    with _store(project) as store:
        before = store.current(name)
        now = store.rollback(name, parse_generation(target) if target is not None else None)
    _note(project, name, now)
    recorded = _record(project, name, generation_name(now))
    if as_json:
        previous = generation_name(before) if before is not None else None
        write_json({"experiment": name, "generation": generation_name(now), "previous": previous, "recorded": recorded})
        return
    write_line(f"{name} serves {generation_name(now)} from now on.")
    if not recorded:
        say("There is no Dagster instance here, so the rollback is recorded in the storage only.")


@contextmanager
def _store(project: "Project") -> Iterator["PredictionStore"]:
    from ok_ml.delivery.storage import open_store

    store = open_store(project.environment.storage, project.root)
    try:
        yield store
    finally:
        store.close()


def _row(info: "GenerationInfo") -> dict[str, Any]:
    manifest = info.manifest
    state = "current" if info.is_current else "withdrawn" if info.is_withdrawn else "kept"
    return {
        "generation": manifest.name,
        "state": state,
        "age_seconds": round(time.time() - manifest.generation / 1000, 1),
        "model_version": str(manifest.model_version),
        "data_dt": manifest.details.get("data_dt"),
        "predictions": manifest.predictions,
        "sources": manifest.sources,
        "checksum": manifest.checksum,
    }


def _words(header: str, value: Any) -> Any:
    from ok_ml.console.health import in_words

    return in_words(value) if header == "age_seconds" else value


def _note(project: "Project", experiment: str, generation: int) -> None:
    """Keep in the lake what is served from now on, for the metrics of the days to come."""
    from ok_ml.monitoring.series.live_history import record_rollback
    from ok_ml.stages.opening import open_pipeline

    pipeline = open_pipeline(project, experiment)
    days = pipeline.committed()
    if days:
        record_rollback(pipeline.lake, experiment, generation, days[-1])


def _record(project: "Project", experiment: str, generation: str) -> bool:
    """Report a materialisation of live_predictions without a run, so that Dagster knows what is live."""
    from ok_ml.local.services.dagster_instance import instance_home

    home = instance_home(project)
    if not (home / "dagster.yaml").is_file():
        return False
    from dagster import AssetMaterialization, DagsterInstance

    from ok_ml.columns import LIVE_PREDICTIONS
    from ok_ml.graph.keys import asset_key

    metadata = {"generation": generation, "reason": "rolled back from the command line"}
    with DagsterInstance.from_config(str(home)) as instance:
        instance.report_runless_asset_event(
            AssetMaterialization(asset_key(experiment, LIVE_PREDICTIONS), metadata=metadata)
        )
    return True
