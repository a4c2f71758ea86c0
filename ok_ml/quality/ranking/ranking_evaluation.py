"""The offline evaluation of several models on the same users: metrics, intervals, differences, segments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ok_ml.errors import DataError
from ok_ml.quality.ranking.bootstrap import Interval, Resamples, resample
from ok_ml.quality.ranking.ranking_metrics import Relevance, coverage, user_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "model"
POPULARITY = "popularity"  # the baseline: the same popular sources for all users
ORACLE = "oracle"  # lists made with the planted tastes and the feed of the days to come: the best that is attainable
ORACLE_TASTES = "oracle_tastes"  # lists made with the planted tastes alone: what the log can teach at best
ORACLES = (ORACLE, ORACLE_TASTES)
EVERYBODY = "all"
UNKNOWN_SEGMENT = "unknown"


@dataclass(frozen=True)
class Score:
    """One metric of one model over the users of one segment ("all": all users)."""

    model: str
    metric: str
    segment: str
    value: Interval


@dataclass(frozen=True)
class Difference:
    """How much better `model` is than `baseline` in one metric, on the same users and draws."""

    model: str
    baseline: str
    metric: str
    value: Interval


@dataclass(frozen=True)
class Stratum:
    """Some of the sources: what is relevant of them, and the lists with only them, of the same users."""

    relevance: Relevance
    lists: "Mapping[str, NDArray[np.int64]]"


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation found.

    Attributes
    ----------
    scores
        Every model and metric for all users; what is no mean over users, such as coverage, has no interval.
    differences
        Of the named pairs.
    segments
        Every model, metric and segment: of users, or each label.
    strata, stratum_differences
        Every model, metric and stratum, over the users with a relevant source in it; and the named pairs.
    users, evaluated_users
        Cases, users or texts; and those of them that all means are over: users with a relevant source.
    """

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    segments: tuple[Score, ...]
    users: int
    evaluated_users: int
    strata: tuple[Score, ...] = ()
    stratum_differences: tuple[tuple[str, Difference], ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order given."""
        return tuple(dict.fromkeys(score.model for score in self.scores))

    def metrics(self, model: str = MODEL) -> dict[str, float]:
        """Estimate of each metric of one model, for logging and for the gate."""
        return {score.metric: score.value.estimate for score in self.scores if score.model == model}

    def interval(self, metric: str, model: str = MODEL) -> Interval:
        """One metric of one model. Raises DataError for one that was not computed."""
        for score in self.scores:
            if (score.model, score.metric) == (model, metric):
                return score.value
        raise DataError(
            f"no {metric} of {model!r} was computed; there are {', '.join(self.metrics(self.models[0]))} of {', '.join(self.models)}",
            why="a decision depends on it",
            remedy="name one of these in gate.metric, or add the depth to stages.evaluation.k",
        )

    def difference(self, metric: str, model: str, baseline: str) -> Interval | None:
        """The paired difference of a named pair, or None if the pair was not asked for."""
        for interval in self.differences:
            if (interval.model, interval.baseline, interval.metric) == (model, baseline, metric):
                return interval.value
        return None

    def share_of_attainable(self, metric: str, model: str = MODEL, oracle: str = ORACLE) -> float | None:
        """(model - popularity) / (oracle - popularity): 0 = no better than popularity, 1 = all that the oracle has.

        None without that oracle or a popularity baseline, of a metric that one of them lacks, or if the oracle is not better than
        popularity.
        """
        if not all(metric in self.metrics(name) for name in (POPULARITY, oracle, model)):
            return None
        floor, ceiling = (self.interval(metric, name).estimate for name in (POPULARITY, oracle))
        return (self.interval(metric, model).estimate - floor) / (ceiling - floor) if ceiling > floor else None

    def _of_users(self, model: str) -> list[str]:
        """Metrics of a model that are means over users: those with an interval."""
        return [one.metric for one in self.scores if one.model == model and not math.isnan(one.value.low)]

    def rows(self) -> list[dict[str, Any]]:
        """All numbers as flat rows for tables and JSON; NaN is None.

        Kinds: score, difference, segment, stratum, stratum_difference (a stratum stands in the column segment), attainable
        (the oracle stands in the column baseline).
        """
        rows = [_flat_row("score", score.model, score.metric, score.value) for score in self.scores]
        rows += [_flat_row("difference", d.model, d.metric, d.value, baseline=d.baseline) for d in self.differences]
        rows += [_flat_row("segment", s.model, s.metric, s.value, segment=s.segment) for s in self.segments]
        rows += [_flat_row("stratum", s.model, s.metric, s.value, segment=s.segment) for s in self.strata]
        rows += [
            _flat_row("stratum_difference", d.model, d.metric, d.value, baseline=d.baseline, segment=stratum)
            for stratum, d in self.stratum_differences
        ]
        for model, oracle in product(self.models, ORACLES):
            for metric in self._of_users(model) if model not in (POPULARITY, *ORACLES) else ():
                share = self.share_of_attainable(metric, model, oracle)
                if share is not None:
                    value = Interval(share, math.nan, math.nan, self.evaluated_users)
                    rows.append(_flat_row("attainable", model, metric, value, baseline=oracle))
        return rows


def evaluate(
    lists_by_model: "Mapping[str, NDArray[np.int64]]",
    relevance: Relevance,
    segments: "Sequence[str | None] | None" = None,
    ks: Sequence[int] = (10, 50),
    *,
    seed: int,
    bootstrap: int = 1000,
    catalogue_size: int = 0,
    pairs: Sequence[tuple[str, str]] | None = None,
    strata: Mapping[str, Stratum] | None = None,
) -> EvaluationReport:
    """Judge the lists of several models on the same users.

    Parameters
    ----------
    lists_by_model
        name -> int64 [n, >= max(ks)], best first, padded with -1. Use the names MODEL, POPULARITY and ORACLE.
    relevance
        Of the same n users, in the same order. Sources that a user could not be recommended must not be in it.
    segments
        Segment of each user; None for unknown ones, or no segments at all.
    ks
        Depths of recall, ndcg, hit rate and coverage.
    seed, bootstrap
        Of the resamples, and how many.
    catalogue_size
        Sources that could have been recommended; 0 leaves coverage out.
    pairs
        (model, baseline) to compare; default: every model with popularity, where there is one.
    strata
        Name -> some of the sources, of the same users: each is judged as if the others were not there.
    """
    depths = tuple(sorted(set(ks)))
    keys, table = _by_user(lists_by_model, relevance, depths)
    drawn, asked = resample(table, resamples=bootstrap, seed=seed), _pairs(lists_by_model, pairs)
    stratum_scores: list[Score] = []
    stratum_differences: list[tuple[str, Difference]] = []
    for name, some in (strata or {}).items():
        _, values = _by_user(some.lists, some.relevance, depths)
        means = resample(values[some.relevance.relevant() > 0], resamples=bootstrap, seed=seed)
        stratum_scores += [Score(*key, name, means.interval(column)) for column, key in enumerate(keys)]
        stratum_differences += [(name, one) for one in _differences(keys, means, asked)]
    scores = [Score(*key, EVERYBODY, drawn.interval(column)) for column, key in enumerate(keys)]
    if catalogue_size:
        scores += _coverage(lists_by_model, depths, catalogue_size)
    return EvaluationReport(
        scores=tuple(scores),
        differences=_differences(keys, drawn, asked),
        segments=_segments(keys, table, segments, bootstrap, seed),
        users=relevance.users,
        evaluated_users=int((relevance.relevant() > 0).sum()),
        strata=tuple(stratum_scores),
        stratum_differences=tuple(stratum_differences),
    )


def _by_user(
    lists_by_model: "Mapping[str, NDArray[np.int64]]", relevance: Relevance, ks: tuple[int, ...]
) -> "tuple[list[tuple[str, str]], NDArray[np.float64]]":
    """(model, metric) of each column, and the values, float64 [users, columns]."""
    values = {
        (model, metric): column
        for model, lists in lists_by_model.items()
        for metric, column in user_metrics(lists, relevance, ks).items()
    }
    return list(values), np.stack(list(values.values()), axis=1)


def _pairs(models: Mapping[str, object], pairs: Sequence[tuple[str, str]] | None) -> Sequence[tuple[str, str]]:
    if pairs is None:
        return [(model, POPULARITY) for model in models if model != POPULARITY and POPULARITY in models]
    unknown = sorted({name for pair in pairs for name in pair} - set(models))
    if unknown:
        raise DataError(
            f"cannot compare {', '.join(unknown)}: only {', '.join(models)} were evaluated",
            why="the comparison would be missing from the report",
            remedy="give lists for each model that a pair names",
        )
    return pairs


def _differences(
    keys: list[tuple[str, str]], drawn: Resamples, pairs: Sequence[tuple[str, str]]
) -> tuple[Difference, ...]:
    column = {key: index for index, key in enumerate(keys)}
    metrics = list(dict.fromkeys(metric for _, metric in keys))
    return tuple(
        Difference(model, baseline, metric, drawn.difference(column[model, metric], column[baseline, metric]))
        for model, baseline in pairs
        for metric in metrics
    )


def _segments(
    keys: list[tuple[str, str]],
    table: "NDArray[np.float64]",
    segments: "Sequence[str | None] | None",
    bootstrap: int,
    seed: int,
) -> tuple[Score, ...]:
    if segments is None:
        return ()
    names = np.array([UNKNOWN_SEGMENT if segment is None else segment for segment in segments], dtype=object)
    scores: list[Score] = []
    for segment in sorted(set(names)):
        drawn = resample(table[names == segment], resamples=bootstrap, seed=seed)
        scores += [Score(*key, segment, drawn.interval(column)) for column, key in enumerate(keys)]
    return tuple(scores)


def _coverage(
    lists_by_model: "Mapping[str, NDArray[np.int64]]", ks: tuple[int, ...], catalogue_size: int
) -> list[Score]:
    return [
        Score(
            model,
            f"coverage@{k}",
            EVERYBODY,
            Interval(coverage(lists, k, catalogue_size), math.nan, math.nan, len(lists)),
        )
        for model, lists in lists_by_model.items()
        for k in ks
    ]


def _flat_row(
    kind: str, model: str, metric: str, value: Interval, *, baseline: str = "", segment: str = EVERYBODY
) -> dict[str, Any]:
    """One number of a report as the files and tables have it; NaN is None."""
    numbers = {name: None if isinstance(n, float) and math.isnan(n) else n for name, n in asdict(value).items()}
    return {"kind": kind, "model": model, "baseline": baseline, "metric": metric, "segment": segment, **numbers}
