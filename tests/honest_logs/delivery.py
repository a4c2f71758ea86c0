"""An honest log goes through the guard without Spark: its past at once, then a day at a time, as the asset checks judge it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.onboarding.audit.checking import check_dataset
from ok_ml.datasets.onboarding.audit.verdict import STOP, findings, of_experiment
from ok_ml.datasets.onboarding.guess.measuring import measure_log
from ok_ml.datasets.onboarding.guess.starter import experiment_text
from ok_ml.errors import EmptyPartition
from ok_ml.lake import WHOLE, Lake
from ok_ml.monitoring.judges.data_judge import judge_data
from ok_ml.monitoring.judges.event_judge import event_watch, settle_events
from ok_ml.monitoring.judges.feature_judge import judge_features
from ok_ml.monitoring.series.feature_counts import build_statistics, freeze_reference
from ok_ml.monitoring.series.live_history import Served, record_live
from ok_ml.monitoring.series.product_metrics import build_product_metrics
from ok_ml.pipelines.source_recommendation.featuring import build_features
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.quality.judges.verdicts import EVENT_VERDICT
from ok_ml.stages.opening import open_pipeline
from ok_ml.world.log.faults import FAULTS, Export
from tests.honest_logs.network import HonestLog
from tests.small_project import BASE, write

NAME = "honest"
# Of `make bench-alarms`, at its sizes; those of snapshots, of lists and of late rows have no place in one file a day.
PLANTED = {
    "offset": 0.3, "scale": 1.2, "null_burst": 0.03, "constant": 1.0, "swapped": 1.0, "unit": 1.0, "repeated_day": 1.0, "missing": 1.0,
    "truncated": 0.15, "new_category": 0.15, "dead_category": 1.0, "id_shift": 0.1, "clock": 3.0, "outliers": 0.01,
    "sign_flip": 0.15, "collapse": 0.15, "leak": 0.15,
}  # fmt: skip


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Draw nothing, and judge rules in place of Great Expectations; tests/quality holds both to the same answers."""
    from ok_ml.monitoring.judges import data_judge as judging_data
    from ok_ml.monitoring.judges import feature_judge as judging_features
    from ok_ml.quality.judges import rules

    patch.setattr(judging_features, "plot_finding", lambda _pipeline, _finding: None)
    patch.setattr(judging_data, "_picture", lambda *_: None)
    patch.setattr(rules, "run_suite", lambda all_: {place: [] for place, rule in enumerate(all_) if not rule.holds})


@dataclass
class Delivered:
    """What happened to one log.

    Attributes
    ----------
    stopped
        Why `data check` stopped it; empty: it was served.
    blocked
        Day -> what blocked it, of the days that were delivered one by one.
    warned
        Days of which a number was outside its band.
    planted
        Fault -> whether it was noticed on its day.
    """

    name: str
    seed: int
    days: int
    stopped: str = ""
    blocked: dict[str, str] = field(default_factory=dict)
    warned: int = 0
    planted: dict[str, bool] = field(default_factory=dict)


class Delivery:
    """One log in a project of its own."""

    def __init__(self, log: HonestLog, root: Path) -> None:
        self.log, self.root = log, root
        write(root, "configs/base.yml", BASE)
        write(root, "configs/environments/local.yml", "environment: local\n")
        (root / "configs/datasets").mkdir(parents=True)
        (root / "configs/datasets" / f"{NAME}.yml").write_text(log.mapping(NAME))
        self.write_raw(log.dts[: self.past])
        self.project: Project = load_project(root)
        profile = measure_log(self.dataset, self.lake, root)
        text = (
            experiment_text(NAME, profile, "source_recommendation").partition("recipes:")[0]
            + "delivery: {partitions: 1}\n"
        )
        write(root, f"configs/experiments/{NAME}.yml", text)
        self.project = load_project(root)

    @property
    def past(self) -> int:
        """Deliveries that come in together."""
        first = self.log.history
        return sum(1 for day in range(first) if day not in self.log.shape.missing)

    @property
    def lake(self) -> Lake:
        return Lake(self.project.lake_root)

    @property
    def dataset(self) -> Any:
        return self.project.datasets[NAME]

    @property
    def pipeline(self) -> SourceRecommendation:
        return open_pipeline(self.project, NAME)

    def live(self, faults: dict[str, float] | None = None) -> Delivered:
        """The first run, then every day; then some faults on the last day."""
        found = Delivered(self.log.name, self.log.seed, self.log.days)
        found.stopped = self.check()
        if found.stopped:
            return found
        assert not self.first_run(), "a past blocks nothing"
        for dt in self.log.dts[self.past :]:
            self.deliver(dt, found)
        if faults:
            found.planted = self.plant(faults)
        return found

    def check(self) -> str:
        """The reason with which `ok-ml data check` stops, or nothing."""
        audit = check_dataset(self.dataset, self.lake, self.root)
        told = findings(audit, self.dataset)
        if not any(one.level == STOP for one in told):
            told = [*of_experiment(audit, self.dataset, self.project.experiments[NAME]), *told]
        return "; ".join(one.text for one in told if one.level == STOP)

    def first_run(self) -> bool:
        """Everything of a first run that the guard has a say in; whether something blocked."""
        dts = partitions_of(self.dataset, self.lake, root=self.root)
        self.ingest(dts)
        blocked = bool(self.judged_log())
        pipeline = self.pipeline
        days = [dt for run in pipeline.feature_runs() for dt in run]
        build_features(pipeline, None, days, progress=lambda _line: None)
        with self.lake.staged(NAME, c.CHAMPION, WHOLE) as folder:
            bins = freeze_reference(pipeline, folder)
            details = {"bins": bins, "model_version": 1, "serve_cut": days[-1]}
            self.lake.commit(folder, rows=1, data_version=bins, details=details)
        blocked |= bool(self.judged_features())
        record_live(self.lake, NAME, Served(1, "first", days[-1], 1, "v-1", days[-1]))
        return blocked

    def deliver(self, dt: str, found: Delivered) -> None:
        """One more day: ingested, judged, its features made and judged."""
        self.write_raw([dt])
        known = self.lake.partitions(NAME, c.EVENTS)
        self.ingest([day for day in partitions_of(self.dataset, self.lake, root=self.root) if day not in known])
        why = self.judged_log()
        if not why:
            build_features(self.pipeline, None, [self.pipeline.calendar().serve_cut], progress=lambda _line: None)
            why = self.judged_features()
        if why:
            found.blocked[dt] = why
        elif self.warns(dt):
            found.warned += 1

    def ingest(self, dts: list[str]) -> None:
        ingest_events(self.dataset, self.lake, dts, root=self.root)
        build_snapshots(self.dataset, self.lake, dts, root=self.root)
        build_product_metrics(self.dataset, self.lake, dts)

    def judged_log(self) -> str:
        """What of the newest day's log blocks."""
        declared = judge_data(self.project, self.dataset)
        newest = settle_events(self.project, self.dataset, self.lake)[-1]
        return declared.headline if declared.blocks else newest.headline if newest.blocks else ""

    def warns(self, dt: str) -> bool:
        """Whether a number of the day's log is outside its band."""
        verdict = self.lake.find(NAME, EVENT_VERDICT, dt)
        return verdict is not None and bool(verdict.details["outside"])

    def judged_features(self) -> str:
        pipeline = self.pipeline
        build_statistics(pipeline, [pipeline.calendar().serve_cut])
        found = judge_features(pipeline)
        return found.headline if found.blocks else ""

    def write_raw(self, dts: list[str]) -> None:
        (self.root / "raw").mkdir(exist_ok=True)
        for dt in dts:
            pq.write_table(self.log.raw(dt), self.root / "raw" / f"{dt}.parquet")

    # -- faults ------------------------------------------------------------------------------------------------------

    def plant(self, faults: dict[str, float]) -> dict[str, bool]:
        """Fault -> noticed, of those that change this log; the last day is hit, and is as it was again afterwards."""
        dt, before = self.log.dts[-1], self.log.dts[-2]
        clean, noticed = self.log.raw(dt), {}
        for kind, size in faults.items():
            if self._is_empty(kind):
                continue
            broken = FAULTS[kind](Export(clean, size, 5, lambda: self.log.raw(before)))
            if broken.equals(clean):
                continue
            pq.write_table(broken, self.root / "raw" / f"{dt}.parquet")
            noticed[kind] = self._notices(dt)
        self.write_raw([dt])
        self.ingest([dt])
        return noticed

    def _is_empty(self, kind: str) -> bool:
        """Whether a fault hits a column that the mapping does not read."""
        shape = self.log.shape
        needs = {
            "offset": shape.duration,
            "scale": shape.duration,
            "null_burst": shape.duration,
            "constant": shape.duration,
            "unit": shape.duration,
            "outliers": shape.duration,
            "sign_flip": shape.duration,
            "swapped": shape.impressions,
            "leak": shape.impressions,
            "new_category": shape.contents,
            "dead_category": shape.shares and "comment" in shape.shares(self.log.history + self.log.days - 1),
        }
        return kind in needs and not needs[kind]

    def _notices(self, dt: str) -> bool:
        try:
            self.ingest([dt])
        except EmptyPartition:
            return True
        declared = judge_data(self.project, self.dataset)
        settle_events(self.project, self.dataset, self.lake)
        deviations = event_watch(self.project, self.dataset, self.lake).look(dt)
        return bool(declared.failed) or any(one.outside for one in deviations)
