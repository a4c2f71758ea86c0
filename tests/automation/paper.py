"""A project whose tables have records and no rows: what decides when something runs reads no more."""

import asyncio
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.loader import LoadingContext
from dagster._core.test_utils import freeze_time
from dagster._daemon.freshness import FreshnessDaemon
from dagster._time import get_current_datetime

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.definitions import build_definitions
from ok_ml.graph.keys import IN_SHORT, asset_key, partitions_name
from ok_ml.lake import WHOLE, Lake, Manifest, fingerprint
from ok_ml.monitoring.judges.feature_judge import DRIFTED
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT, FEATURES
from ok_ml.release.gate.promoting import DECIDED
from ok_ml.release.training_recipe import recipe_of
from ok_ml.stages.opening import open_pipeline
from tests.small_project import edit, make_project, write

DATASET, EXPERIMENT, OTHER = "toy", "toy_sources", "toy_others"
EXPERIMENT_FILE, DATASET_FILE = f"configs/experiments/{EXPERIMENT}.yml", f"configs/datasets/{DATASET}.yml"
FIRST = date(2026, 1, 5)
ENOUGH = 4  # days: one of evaluation, one of labels, and the features before them
MODEL_DAYS = 3
_SHORT = """{activity_days: 2, affinity_days: 2, popularity_days: 2}
  training_set: {label_days: 1}
  evaluation: {days: 1}"""


class Paper:
    """Two automatic experiments on one dataset, and a Dagster instance that remembers.

    Nothing runs: what a run would have made is written by `commit_day`, `train` and `predict`, and a tick is one of the
    real sensor, whose requests become runs that have not ended.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: tuple[tuple[str, ...], Project] | None = None
        self._write_files()
        self.load()
        self.begin()

    def begin(self) -> None:
        """Everything as at first; the definitions stay, which cost a second."""
        self._write_files()
        shutil.rmtree(self.lake.root, ignore_errors=True)
        self.instance = dg.DagsterInstance.ephemeral()
        self.days, self._count = 0, 0
        self.cursor: str | None = None
        self.said: str | None = None
        for definition in self.definitions.asset_checks:
            for spec in definition.check_specs:
                self.judge(spec.asset_key, spec.name, passed=True)

    def load(self) -> None:
        """Build the definitions, as a code server does that starts."""
        project = load_project(self.root)
        self.definitions, self.lake = build_definitions(project), Lake(project.lake_root)

    def _write_files(self) -> None:
        make_project(self.root)
        edit(self.root, EXPERIMENT_FILE, "{activity_days: 10, affinity_days: 9, popularity_days: 14}", _SHORT)
        edit(
            self.root, EXPERIMENT_FILE, "cycle: manual}", f"cycle: automatic}}\nfreshness: {{model_days: {MODEL_DAYS}}}"
        )
        text = (self.root / EXPERIMENT_FILE).read_text()
        write(self.root, f"configs/experiments/{OTHER}.yml", text.replace(EXPERIMENT, OTHER))

    def of(self, experiment: str = EXPERIMENT) -> SourceRecommendation:
        """An experiment as its files are now."""
        texts = tuple(path.read_text() for path in sorted((self.root / "configs").rglob("*.yml")))
        if self._known is None or self._known[0] != texts:
            self._known = (texts, load_project(self.root))
        return open_pipeline(self._known[1], experiment)

    def day(self, number: int = -1) -> str:
        """The date of a committed day."""
        return (FIRST + timedelta(days=number % self.days)).isoformat()

    # -- what runs would have made ---------------------------------------------------------------------------------

    def commit_days(self, count: int, *, drifted: bool = False, blocked: bool = False) -> None:
        """Further days up to checked features."""
        for _ in range(count):
            self.days += 1
            self.ingest(self.day(), drifted=drifted, blocked=blocked)

    def ingest(self, dt: str, *, text: str = "", drifted: bool = False, blocked: bool = False) -> None:
        """One day, or the same day again, of both experiments; other `text`, other rows."""
        for table in (c.EVENTS, *c.SNAPSHOTS):
            self._write(DATASET, table, dt, f"{dt} {text}", {})
        self.instance.add_dynamic_partitions(partitions_name(DATASET), [dt])
        for name in (EXPERIMENT, OTHER):
            self.check(
                name, dt, text=text, drifted=drifted and name == EXPERIMENT, blocked=blocked and name == EXPERIMENT
            )

    def check(self, name: str, dt: str, *, text: str = "", drifted: bool = False, blocked: bool = False) -> None:
        """Features of a day, their statistics and the verdict on them."""
        pipeline = self.of(name)
        for table in c.FEATURE_TABLES:
            self._write(name, table, dt, f"{dt} {text}", pipeline.inputs_of(table, dt))
        statistics = self._write(
            name, c.FEATURE_STATISTICS, dt, f"{dt} {text}", pipeline.inputs_of(c.FEATURE_STATISTICS, dt)
        )
        champion = self.lake.find(name, c.CHAMPION)
        inputs = {"statistics": statistics.data_version, "champion": champion.data_version if champion else "none"}
        details = {"blocks": blocked, "headline": "", DRIFTED: ["posts psi 0.14 (expected <= 0.1)"] if drifted else []}
        self._write(name, FEATURE_VERDICT, dt, f"{dt} {text}", inputs, **details)
        key = asset_key(name, c.FEATURE_STATISTICS)
        self.report(key, dt)
        self.judge(key, FEATURES, passed=not (drifted or blocked), warns=not blocked)

    def train(self, name: str = EXPERIMENT, *, promoted: bool = True) -> None:
        """A model of now is judged, and becomes champion or does not."""
        pipeline, before = self.of(name), self.lake.find(name, c.CHAMPION)
        version = self._version(before) + 1 if promoted else self._version(before)
        decided = {"dt": self.day(), "recipe": recipe_of(pipeline)}
        details = {"model_version": str(version), "serve_cut": self.day(), "bins": f"of {version}", DECIDED: decided}
        self._write(name, c.CHAMPION, WHOLE, f"model {version}", {}, **details)
        for table in (c.EMBEDDINGS, c.TRAINING_SET, c.MODEL, c.EVALUATION, c.CHAMPION):
            self.report(asset_key(name, table))

    def predict(self, name: str = EXPERIMENT) -> None:
        """Predictions of the newest day, published and live."""
        inputs = self.of(name).inputs_of(c.PREDICTIONS, self.day())
        self._write(name, c.PREDICTIONS, self.day(), str(inputs), inputs)
        served = (c.PREDICTIONS, c.PREDICTION_STATISTICS, c.PUBLICATION, c.LIVE_PREDICTIONS)
        for table in (c.RETRIEVAL, c.EMBEDDING_STATISTICS, *served):
            self.report(asset_key(name, table))

    def report(self, key: dg.AssetKey, partition: str | None = None) -> None:
        """Tell Dagster of a materialisation."""
        self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))

    def judge(
        self, key: dg.AssetKey, check: str, *, passed: bool, text: str = "", short: str = "", warns: bool = False
    ) -> None:
        """Tell Dagster what a check found; `short` is the line for the reason of a training."""
        severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR
        found = dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=check,
            passed=passed,
            description=text,
            severity=severity,
            metadata={IN_SHORT: short} if short else {},
        )
        self.instance.report_runless_asset_event(found)

    def freshness_daemon(self, days: float) -> dict[str, str]:
        """What Dagster's daemon finds of each champion so many days of the wall clock from now, and writes down."""
        graph, found = self.definitions.resolve_asset_graph(), {}
        with later(days):
            for name in (EXPERIMENT, OTHER):
                key = asset_key(name, c.CHAMPION)
                asyncio.run(FreshnessDaemon()._evaluate_asset(_Looking(self.instance), graph.get(key)))
                found[name] = self.instance.get_freshness_state_records([key])[key].freshness_state.value
        return found

    # -- ticks and runs --------------------------------------------------------------------------------------------

    def tick(self) -> list[dg.DagsterRun]:
        """One tick of the automation sensor; the runs that it asked for, queued."""
        (sensor,) = (sensor for sensor in self.definitions.sensors if sensor.name == "automation")
        context = dg.build_sensor_context(self.instance, self.cursor, definitions=self.definitions)
        found = sensor.evaluate_tick(context)
        self.cursor, self.said = found.cursor, found.skip_message
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        return [self._run(request) for request in found.run_requests]

    def again(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """Dagster starts a run again whose worker died."""
        self.instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "next"})
        tags = {**run.tags, "dagster/root_run_id": run.run_id, "dagster/parent_run_id": run.run_id}
        return self.instance.add_run(run._replace(run_id=str(uuid.uuid4()), tags=tags))

    def label(self, name: str, title: str) -> str:
        """What the UI shows of one of the conditions that start a training, after an evaluation."""
        found = dg.evaluate_automation_conditions(self.definitions, self.instance)
        key = asset_key(name, c.EMBEDDINGS)
        (result,) = (result for result in found.results if result.key == key)
        labels = [label for label in _labels(result.serializable_evaluation) if label.startswith(title)]
        return "; ".join(sorted(set(labels) - {title}))

    def end(self, run: dg.DagsterRun, *, failed: bool = False) -> None:
        """A run comes to its end."""
        kind = "PIPELINE_FAILURE" if failed else "PIPELINE_SUCCESS"
        self.instance.report_dagster_event(dg.DagsterEvent(kind, run.job_name), run_id=run.run_id)

    def settle(self) -> None:
        """Ticks and ends until both experiments have a model and serve the newest day."""
        for name in (EXPERIMENT, OTHER):
            self.train(name)
            self.predict(name)
        assert self.tick() == []

    def _run(self, request: dg.RunRequest) -> dg.DagsterRun:
        run = dg.DagsterRun(
            job_name="__ASSET_JOB",
            run_id=str(uuid.uuid4()),
            tags=dict(request.tags),
            status=dg.DagsterRunStatus.NOT_STARTED,
            asset_selection=frozenset(request.asset_selection or ()),
        )
        return self.instance.add_run(run)

    def _write(self, scope: str, table: str, dt: str, text: str, inputs: dict[str, str], **details: Any) -> Manifest:
        """Commit a partition by its record alone."""
        path = self.lake.root / scope / table / "_committed" / f"{dt}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._count += 1
        made = Manifest(
            scope,
            table,
            dt,
            f"v-{self._count}",
            fingerprint({"text": text}),
            1,
            (),
            inputs,
            details,
            get_current_datetime().isoformat(),
        )
        path.write_text(json.dumps(asdict(made)))
        return made

    def _version(self, champion: Any) -> int:
        return int(champion.details["model_version"]) if champion else 0


def later(days: float) -> AbstractContextManager[Any]:
    """So many days of the wall clock from now, within the block."""
    return freeze_time(datetime.now(UTC) + timedelta(days=days))


class _Looking(LoadingContext):
    """Where the freshness daemon reads from."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance, self._loaders = instance, {}

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[Any, Any]:
        return self._loaders


def _labels(evaluation: Any) -> Iterator[str]:
    if evaluation.condition_snapshot.label:
        yield evaluation.condition_snapshot.label
    for child in evaluation.child_evaluations:
        yield from _labels(child)


def tables(run: dg.DagsterRun) -> set[str]:
    """The tables of a run, by their names within the experiment."""
    return {key.path[-1] for key in run.asset_selection or ()}
