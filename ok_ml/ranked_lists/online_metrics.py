"""Online metrics of an experiment: the generation served on a day against what people did on it and on the days after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.lake import Lake, Manifest
from ok_ml.monitoring.series.live_history import Served, lists_folder, read_lists, served_on
from ok_ml.partitions import minus_days
from ok_ml.places import place_of
from ok_ml.quality.ranking import online_ranking as online
from ok_ml.quality.ranking.ranking_metrics import EMPTY, Relevance, user_metrics
from ok_ml.quality.statistics.number_series import GROUP, METRIC, Number, series_table
from ok_ml.ranked_lists.exposures import Impressions, explores, padded
from ok_ml.ranked_lists.pipeline import ListPipeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.recommender.ranking.labels import UserRelevance
    from ok_ml.recommender.retrieval.snapshot import Catalogue, Subscriptions

REASON: Final = "reason"  # in the details of a day without numbers


def build_online_metrics(
    pipeline: ListPipeline, dts: list[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Join what was served on each of some days with what people did; commit a partition a day.

    A day that was served nothing, or whose lists are gone, is committed without rows and with the reason: no zeros.
    Days before them whose following days are complete now are reported again with these.

    Returns
    -------
    The manifests of `dts`.
    """
    for dt in [*_completed_by(pipeline, dts), *dts]:
        inputs = pipeline.inputs_of(c.ONLINE_METRICS, dt)
        numbers, details = online_day(pipeline, dt)
        pipeline.lake.write(
            pipeline.name,
            c.ONLINE_METRICS,
            dt,
            series_table(numbers),
            sort_by=[METRIC, GROUP],
            inputs=inputs,
            details=details,
        )
        if progress:
            said = details.get(REASON) or f"generation {details['generation_name']}, {len(numbers)} numbers"
            progress(f"{dt}: {said}")
    return [pipeline.lake.manifest(pipeline.name, c.ONLINE_METRICS, dt) for dt in dts]


def is_current(pipeline: ListPipeline, dt: str) -> bool:
    """Whether a day's numbers are those of what is committed now."""
    return pipeline.lake.is_current(pipeline.name, c.ONLINE_METRICS, dt, pipeline.inputs_of(c.ONLINE_METRICS, dt))


def window_from(pipeline: ListPipeline, dt: str) -> list[str] | None:
    """The days that the evaluation would count, beginning with `dt`; None while they are not complete, or where a
    partition is longer than a day.
    """
    days = pipeline.config.stages.evaluation.days
    days_after = [day for day in pipeline.committed() if dt <= day < minus_days(dt, -days)]
    return days_after if len(days_after) == days and pipeline.dataset.partition.grain == "day" else None


def _completed_by(pipeline: ListPipeline, dts: list[str]) -> list[str]:
    """Days before `dts` that were reported without their following days, which are committed now."""
    first = minus_days(dts[0], pipeline.config.stages.evaluation.days)
    told = [dt for dt in pipeline.lake.partitions(pipeline.name, c.ONLINE_METRICS) if first < dt < dts[-1]]
    known = set(pipeline.committed())
    return [dt for dt in told if dt not in dts and dt in known and not is_current(pipeline, dt)]


def online_day(pipeline: ListPipeline, dt: str) -> tuple[list[Number], dict[str, Any]]:
    """The numbers of a day and what they are of; without numbers, why."""
    lake = pipeline.lake
    served = served_on(lake, pipeline.name, pipeline.dataset, dt)
    if isinstance(served, str):
        return [], {REASON: served}
    folder = lists_folder(lake, pipeline.name, served)
    if folder is None:
        return [], {REASON: f"the lists of generation {served.generation_name} are not in the lake any more"}
    earlier = [day for day in pipeline.committed() if day < dt]
    if not earlier:
        return [], {REASON: f"{dt} is the first day: who was subscribed to what when it began is unknown"}
    day = ServedDay.load(lake, pipeline.dataset, dt, earlier[-1], _depths(pipeline), window_from(pipeline, dt))
    parts = [
        day.part(part, *padded(table, c.SOURCE_IDS, EMPTY), _drawn(table))
        for part in range(pipeline.dataset.parts)
        if (table := read_lists(folder, part)) is not None
    ]
    numbers = online.online_numbers(
        parts,
        model_version=served.model_version,
        catalogue_size=day.catalogue.size,
        impressions=pipeline.dataset.has_impressions,
    )
    return numbers, _details(served)


def _details(served: Served) -> dict[str, Any]:
    names = ("generation", "generation_name", "data_dt", "model_version")
    return {name: getattr(served, name) for name in names}


def _drawn(table: pa.Table) -> "NDArray[np.bool_] | None":
    """Places of the lists that explored, bool [n, k]; None of lists of a version that did not say it."""
    return explores(padded(table, c.PROPENSITIES, 0.0)[1]) if c.PROPENSITIES in table.column_names else None


def _depths(pipeline: ListPipeline) -> tuple[int, ...]:
    most = pipeline.config.stages.predictions.top_n
    ks = tuple(k for k in sorted(set(pipeline.config.stages.evaluation.k)) if k <= most)
    return ks or (most,)


@dataclass(frozen=True)
class ServedDay:
    """What all parts of a day on which lists were served share.

    Attributes
    ----------
    ks
        Depths of the metrics.
    relevant
        Ending of a metric's name -> what users liked: of the day, and of the days that follow where they are complete.
    segments
        User -> segment, when the day began.
    """

    lake: Lake
    dataset: DatasetConfig
    dt: str
    ks: tuple[int, ...]
    catalogue: "Catalogue"
    subscriptions: "Subscriptions"
    relevant: "Mapping[str, UserRelevance]"
    users: "NDArray[np.int64]"
    segments: "NDArray[np.object_]"

    @classmethod
    def load(
        cls,
        lake: Lake,
        dataset: DatasetConfig,
        dt: str,
        cut: str,
        ks: tuple[int, ...],
        following: list[str] | None = None,
    ) -> "ServedDay":
        """Read a day.

        Parameters
        ----------
        cut
            The day before: who was subscribed to what when the day began.
        following
            The day and those after it that the evaluation counts, where they are complete.
        """
        from ok_ml.recommender.ranking.labels import relevance
        from ok_ml.recommender.retrieval.snapshot import Catalogue, Subscriptions

        scope, days = dataset.dataset, following or [dt]
        catalogue = Catalogue.load(lake, scope, cut)
        windows = {"": [dt]} | ({f"/{len(days)}d": days} if len(days) > 1 else {})
        relevant = {name: relevance(lake, scope, some, dataset.grades, cut) for name, some in windows.items()}
        users, segments = _segments(lake, scope, cut)
        subscriptions = Subscriptions.load(lake, scope, cut, catalogue)
        return cls(lake, dataset, dt, ks, catalogue, subscriptions, relevant, users, segments)

    def part(
        self,
        part: int,
        users: "NDArray[np.int64]",
        lists: "NDArray[np.int64]",
        drawn: "NDArray[np.bool_] | None" = None,
    ) -> online.PartDay:
        """What the users of one part, int64 [n] ascending, did with their lists, int64 [n, k] padded with -1.

        Parameters
        ----------
        drawn
            bool [n, k]: places that explored; default: none.
        """
        impressions = self._impressions(part)
        posts = self._posts(part)
        rows = place_of(users, posts[c.USER_ID].to_numpy())
        known, strangers = rows >= 0, np.unique(posts[c.USER_ID].to_numpy()[rows < 0])
        shown, good = (posts[name].to_numpy().astype(bool)[known] for name in ("shown", "good"))
        rows, sources = rows[known], posts[c.SOURCE_ID].to_numpy()[known]
        served, subscribed = online.in_lists(lists, rows, sources), self._subscribed(users[rows], sources)
        active = np.bincount(rows, minlength=len(users)) > 0
        return online.PartDay(
            segments=self._segments_of(users),
            metrics=self._metrics(users, lists) | self._effects(users, lists, impressions),
            active=active,
            shown=online.by_channel(len(users), rows, served, subscribed, shown),
            reacted=online.by_channel(len(users), rows, served, subscribed, shown & good),
            covered={k: np.unique(lists[active, :k]) for k in self.ks},
            strangers=len(strangers),
            reasons=self._reasons(users, lists, drawn, impressions),
        )

    def _posts(self, part: int) -> pa.Table:
        """One row a post and user of the day: user, source, whether it was shown, whether it earned something good."""
        columns = [c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE]
        rows = self.lake.read(self.dataset.dataset, c.EVENTS, [self.dt], columns=columns, part=part)
        kinds = rows[c.EVENT_TYPE].cast(pa.string())
        graded = pa.array([name for name, grade in self.dataset.grades.items() if grade > 0], pa.string())
        marked = rows.append_column("shown", pc.cast(pc.equal(kinds, c.IMPRESSION), pa.int8()))
        marked = marked.append_column("good", pc.cast(pc.is_in(kinds, value_set=graded), pa.int8()))
        grouped = marked.group_by([c.USER_ID, c.SOURCE_ID, c.ITEM_ID]).aggregate([("shown", "max"), ("good", "max")])
        return grouped.rename_columns([c.USER_ID, c.SOURCE_ID, c.ITEM_ID, "shown", "good"])

    def _impressions(self, part: int) -> Impressions | None:
        """What was shown to whom and why; None of a log that does not say why."""
        columns = [c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE, c.EVENT_TIME, c.GENERATION]
        rows = self.lake.read(self.dataset.dataset, c.EVENTS, [self.dt], columns=columns, part=part)
        return Impressions.of(rows, self.dataset.grades) if rows[c.GENERATION].null_count < len(rows) else None

    def _effects(
        self, users: "NDArray[np.int64]", lists: "NDArray[np.int64]", shown: Impressions | None
    ) -> "dict[str, NDArray[np.float64]]":
        """The metrics of the lists against reactions to what they had shown, and to what was shown for another reason."""
        if shown is None:
            return {}
        new = (shown.rewards > 0) & ~self._subscribed(shown.users, shown.sources)
        metrics: dict[str, NDArray[np.float64]] = {}
        for reason, chosen in ((online.LISTED, shown.generations >= 0), (online.UNLISTED, shown.generations < 0)):
            rows, sources = place_of(users, shown.users[new & chosen]), shown.sources[new & chosen]
            pairs = np.unique(np.stack([rows[rows >= 0], sources[rows >= 0]], axis=1), axis=0)
            liked = Relevance.from_rows(pairs[:, 0], pairs[:, 1], np.ones(len(pairs), np.int64), len(users))
            values = user_metrics(lists, liked, self.ks)
            metrics |= {f"{name}/{reason}": column for name, column in values.items()}
        return metrics

    def _reasons(
        self,
        users: "NDArray[np.int64]",
        lists: "NDArray[np.int64]",
        drawn: "NDArray[np.bool_] | None",
        shown: Impressions | None,
    ) -> dict[str, tuple[int, int]]:
        """How often something was shown for a reason, and how often it was liked."""
        if shown is None:
            return {}
        because, row = shown.generations >= 0, place_of(users, shown.users)
        explored = np.zeros(len(row), bool)
        if drawn is not None:
            explored = because & (row >= 0) & ((lists[row] == shown.sources[:, None]) & drawn[row]).any(axis=1)
        other = ~because & ~self._subscribed(shown.users, shown.sources)
        chosen = {online.LISTED: because & ~explored, online.EXPLORED: explored, online.UNLISTED: other}
        return {reason: (int(mask.sum()), int(shown.rewards[mask].sum())) for reason, mask in chosen.items()}

    def _subscribed(self, users: "NDArray[np.int64]", sources: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        rows, columns = place_of(self.subscriptions.user_ids, users), self.catalogue.index(sources)
        places = place_of(self._held, rows * self.catalogue.size + columns)
        return (rows >= 0) & (columns >= 0) & (places >= 0)

    @cached_property
    def _held(self) -> "NDArray[np.int64]":
        """Every subscription as one ascending number."""
        held = self.subscriptions.sources
        return held.rows * self.catalogue.size + held.indices

    def _segments_of(self, users: "NDArray[np.int64]") -> "NDArray[np.object_]":
        rows = place_of(self.users, users)
        return np.where(rows >= 0, self.segments[rows], online.UNKNOWN_SEGMENT).astype(object)

    def _metrics(self, users: "NDArray[np.int64]", lists: "NDArray[np.int64]") -> "dict[str, NDArray[np.float64]]":
        metrics: dict[str, NDArray[np.float64]] = {}
        for ending, relevant in self.relevant.items():
            values = user_metrics(lists, relevance_of(users, relevant), self.ks)
            metrics |= {name + ending: column for name, column in values.items()}
        return metrics


def relevance_of(users: "NDArray[np.int64]", relevant: "UserRelevance") -> Relevance:
    """What some users (ascending) liked, row by row."""
    rows = place_of(users, relevant.user_ids)
    entries = np.repeat(rows, np.diff(relevant.indptr))
    kept = entries >= 0
    return Relevance.from_rows(entries[kept], relevant.source_ids[kept], relevant.grades[kept], len(users))


def _segments(lake: Lake, scope: str, dt: str) -> "tuple[NDArray[np.int64], NDArray[np.object_]]":
    rows = lake.read(scope, c.USERS, [dt]).sort_by(c.USER_ID)
    names = rows[c.SEGMENT].to_pylist() if c.SEGMENT in rows.column_names else [None] * rows.num_rows
    segments = np.array([online.UNKNOWN_SEGMENT if name is None else name for name in names], dtype=object)
    return rows[c.USER_ID].to_numpy(), segments
