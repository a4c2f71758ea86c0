"""What the page of an experiment's numbers shows, read from the small committed tables alone."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ok_ml import columns as c
from ok_ml.config.calibration import limit_of
from ok_ml.config.models import Project
from ok_ml.lake import Lake
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Deviation, judge_day
from ok_ml.quality.judges.feature_series import DAYS, FeatureBoard, feature_series
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, FEATURE_VERDICT, read_verdict
from ok_ml.quality.statistics.number_series import Series, as_series, read_days, regimes_of
from ok_ml.stages.blocked_days import blocked_dts, story
from ok_ml.stages.opening import type_of

FRESH_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Line:
    """One series, and the band of its newest number; None while its history is too short."""

    series: Series
    newest: Deviation | None


@dataclass(frozen=True)
class NumbersByDay:
    """One table of numbers by day: its series, the strangest newest number first."""

    scope: str
    table: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class MonitoringView:
    """Everything that the page shows.

    Attributes
    ----------
    headlines
        What the newest verdicts say: whether it blocks, and in words.
    psi_limits
        From which PSI a feature warns, and blocks.
    story
        Why nothing is published, and the way out; None if nothing holds it back.
    blocked
        Blocked days: of the log, of features, of lists.
    """

    experiment: str
    dataset: str
    experiments: tuple[str, ...]
    board: FeatureBoard
    tables: tuple[NumbersByDay, ...] = ()
    headlines: tuple[tuple[bool, str], ...] = ()
    psi_limits: tuple[float, float] = (0.1, 0.25)
    story: str | None = None
    blocked: frozenset[str] = frozenset()


def monitoring_view(project: Project, experiment: str) -> MonitoringView:
    """Read the newest days of everything that is watched of one experiment and of its dataset."""
    lake, dataset = Lake(project.lake_root), project.experiments[experiment].dataset
    scopes = [(experiment, table) for table in type_of(project, experiment).series]
    scopes += [(dataset, table) for table in c.DATASET_SERIES]
    limit, drift = limit_of(project, experiment).value, project.experiments[experiment].checks.drift
    tables = (numbers_by_day(lake, scope, table, limit=limit) for scope, table in scopes)
    said = [_headline(lake, experiment, FEATURE_VERDICT), _headline(lake, dataset, DECLARED_VERDICT)]
    return MonitoringView(
        experiment,
        dataset,
        tuple(sorted(project.experiments)),
        feature_series(lake, experiment),
        tuple(numbers for numbers in tables if numbers.lines),
        tuple(headline for headline in said if headline is not None),
        (drift.psi_warn, drift.psi_block),
        story(project, experiment),
        blocked_dts(project, experiment, days=DAYS),
    )


def numbers_by_day(lake: Lake, scope: str, table: str, *, limit: float, days: int = DAYS) -> NumbersByDay:
    """The newest days of one table; no line where nothing is committed. `limit` is the largest score inside a band."""
    known = lake.partitions(scope, table)[-days:]
    if not known:
        return NumbersByDay(scope, table, ())
    read = read_days(lake, scope, table, known)
    recent = dict(list(read.items())[-HISTORY_DAYS - 1 :])
    regimes = regimes_of(lake, scope, list(recent))
    deviations = judge_day(recent, known[-1], read[known[-1]], limit=limit, regimes=regimes)
    newest = {one.name: one for one in deviations}
    lines = [Line(series, newest.get(name)) for name, series in as_series(read).items()]
    return NumbersByDay(scope, table, tuple(sorted(lines, key=_strangest)))


def _strangest(line: Line) -> tuple[float, bool, str]:
    score = abs(line.newest.band.score) if line.newest is not None else 0.0
    return -round(score, 1), bool(line.series.name.group), str(line.series.name)


def _headline(lake: Lake, scope: str, table: str) -> tuple[bool, str] | None:
    known = lake.partitions(scope, table)
    verdict = lake.find(scope, table, known[-1]) if known else None
    if verdict is None:
        return None
    said = re.sub(r"; look further: `[^`]*`(, http\S*[^.\s])?", "", str(verdict.details.get("headline", "")))
    return read_verdict(lake, verdict).blocks, f"{scope}: {said}"


@dataclass
class Views:
    """The page's contents by experiment, at most `FRESH_SECONDS` old; one reading at a time."""

    read: Callable[[str], MonitoringView]
    experiments: Sequence[str]
    _kept: dict[str, tuple[float, MonitoringView]] = field(default_factory=dict)
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def of(self, experiment: str) -> MonitoringView:
        """The contents for one experiment."""
        with self._reading:
            at, view = self._kept.get(experiment, (float("-inf"), None))
            if view is None or time.monotonic() - at > FRESH_SECONDS:
                view = self.read(experiment)
                self._kept[experiment] = (time.monotonic(), view)
            return view
