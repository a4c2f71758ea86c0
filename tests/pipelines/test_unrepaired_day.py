"""The incident of the README, planted and left unrepaired for sixty days, on a clock of its own and with the pipeline's own code."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ok_ml import columns as c
from ok_ml.config.models import Incident
from ok_ml.lake import WHOLE
from ok_ml.monitoring.judges.feature_judge import judge_features
from ok_ml.monitoring.series.feature_counts import build_statistics, freeze_reference
from ok_ml.partitions import minus_days
from ok_ml.pipelines.source_recommendation.featuring import build_features
from ok_ml.pipelines.source_recommendation.fitting import fit_cuts
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.pipelines.source_recommendation.training import assemble_training_set
from ok_ml.quality.statistics.bins import REFERENCE_FILE
from ok_ml.stages.opening import open_pipeline
from tests.pipelines.test_event_series import EXPERIMENT, Log, new_log

PAST, LEFT, TRAINED_EVERY = 34, 60, 7
SHIFT = Incident(day=PAST, kind="scale", size=1000)  # the time spent in another unit
USUAL_SECONDS = 2000.0  # that a pair may spend together in nine days; a broken day makes millions of it


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def _no_spark() -> None:
    raise AssertionError("implicit needs no session")


class Clock:
    """One day after the other: delivered, judged, its features made and judged, and now and then a training."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.blocked_features: dict[str, str] = {}
        self.trained: list[str] = []

    @property
    def pipeline(self) -> SourceRecommendation:
        return open_pipeline(self.log.project, EXPERIMENT)

    def begin(self) -> None:
        """A past that came in together, a first model made from it, and its first generation."""
        days = self.log.arrive(range(PAST))
        self.log.settle()
        self.train()
        self.log.serve(days[-1])

    def day(self, number: int, incidents: tuple[Incident, ...] = ()) -> str:
        """Deliver one more day."""
        (dt,) = self.log.arrive(range(number, number + 1), incidents)
        self.log.settle()
        if dt not in self.log.blocked():
            self.features([dt])
            build_statistics(self.pipeline, [dt])
            verdict = judge_features(self.pipeline)
            if verdict.blocks:
                self.blocked_features[dt] = verdict.headline
        return dt

    def features(self, dts: list[str]) -> None:
        todo = [dt for dt in dts if not all(self.pipeline.is_current(table, dt) for table in c.FEATURE_TABLES)]
        if todo:
            build_features(self.pipeline, None, todo, progress=quiet)

    def train(self) -> None:
        """What a training learns from, and the reference that it freezes."""
        pipeline = self.pipeline
        self.features([dt for run in pipeline.feature_runs() for dt in run])
        fit_cuts(pipeline, _no_spark, progress=quiet)
        assemble_training_set(pipeline, progress=quiet)
        with pipeline.lake.staged(EXPERIMENT, c.CHAMPION, WHOLE) as folder:
            bins = freeze_reference(pipeline, folder)
            cut = pipeline.calendar().serve_cut
            details = {"bins": bins, "model_version": len(self.trained) + 1, "serve_cut": cut}
            pipeline.lake.commit(folder, rows=1, data_version=bins, details=details)
        self.trained.append(cut)

    def largest(self, table: str, column: str = "pair_seconds") -> float:
        found = pc.max(self.log.lake.read(EXPERIMENT, table)[column]).as_py()
        return float(found)

    def reference(self) -> dict[str, float]:
        """Feature -> largest value in the champion's reference."""
        folder = self.log.lake.folder(self.log.lake.manifest(EXPERIMENT, c.CHAMPION))
        rows = pq.read_table(folder / REFERENCE_FILE).to_pylist()
        return {row["feature"]: row["max"] for row in rows}


@pytest.fixture
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    made = Clock(new_log(tmp_path_factory, days=PAST + LEFT + 1))
    made.begin()
    return made


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_day_that_nobody_repairs_costs_itself_alone(clock: Clock) -> None:
    broken = clock.day(PAST, (SHIFT,))
    assert list(clock.log.blocked()) == [broken]
    for number in range(PAST + 1, PAST + LEFT + 1):
        dt = clock.day(number)
        assert list(clock.log.blocked()) == [broken], f"a healthy {dt} is blocked: {clock.log.blocked()}"
        if (number - PAST) % TRAINED_EVERY == 0:
            clock.train()
            plan = clock.pipeline.calendar()
            assert broken not in {*plan.label_dts, *plan.eval_dts, plan.eval_cut, plan.serve_cut}
            assert clock.largest(c.TRAINING_SET) < USUAL_SECONDS, "no training saw the broken day"
            assert clock.reference()["pair_seconds"] < USUAL_SECONDS, "no reference holds a broken value"
    assert clock.blocked_features == {}
    assert len(clock.trained) == 1 + LEFT // TRAINED_EVERY


def test_a_repaired_day_is_over_on_the_same_day(clock: Clock) -> None:
    broken = clock.day(PAST, (SHIFT,))
    assert list(clock.log.blocked()) == [broken]
    assert clock.pipeline.calendar().serve_cut == minus_days(broken, 1)
    clock.day(PAST)
    assert clock.log.blocked() == {}
    assert clock.pipeline.calendar().serve_cut == broken
    assert clock.blocked_features == {}
    _same_weekday_is_not_odd(clock)


def _same_weekday_is_not_odd(clock: Clock) -> None:
    """A blocked day does not make the same weekday of the next week odd."""
    for number in range(PAST + 1, PAST + 8):
        clock.day(number, (SHIFT.model_copy(update={"day": number}),) if number == PAST + 1 else ())
    assert len(clock.log.blocked()) == 1
    following = clock.day(PAST + 8)
    assert following not in clock.log.blocked()
