"""From the length, density and grain of a log to the settings of a first experiment: rules, each with its reason.

Everything follows from a `LogProfile` alone.

- The judged days are few, so that most of the log teaches, and enough for a useful interval: a whole week where the log
  has five, at most a fifth of it, and no more than it takes to find five hundred users with something new.
- A window of labels is as long as the judged days, so that the ranker learns the question that it is asked; of such
  windows, one before the other, there are as many as four thousand lists take, in at most a third of the log.
- Windows of features hold some dozens of events of a user, those of popularity ten thousand of all users, and they fit
  before the oldest label: features of a short history look like drift compared with those of a longer one.
- Few lists teach a small ranker, judged by cross-validation; few sources need few factors and few candidates.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final

from ok_ml.datasets.onboarding.guess.measuring import LogProfile
from ok_ml.errors import DataError
from ok_ml.partitions import TrainingCalendar, training_calendar, window

FEWEST: Final = 5  # partitions: one to learn from, a label, the day before it, an evaluation, the day before that
_JUDGED: Final = 500  # users: their interval of ndcg is about +-0.02
_LISTS: Final = 4000
_FEW_LISTS: Final = 2000
_MANY_LISTS: Final = 20_000
_MOST_WINDOWS: Final = 4
_SHORT: Final = 3  # partitions: up to here each day of labels gets features of its own
_EVENTS_OF_A_USER: Final = 30
_EVENTS_OF_ALL: Final = 10_000
_PARTITIONS: Final = {"day": (1, 2, 3, 7, 14, 28, 56, 91, 182, 365), "month": (1, 2, 3, 6, 9, 12, 18, 24)}
_DAYS: Final = {"day": (1, 2, 3, 7, 14, 28, 56, 91, 182, 365), "month": (31, 92, 184, 366, 731)}
_TOP_N, _CANDIDATES = 50, 200
_BETTER: Final = (  # what several models agree on can only speak for a source; few lists cannot teach that
    "blend_score",
    "als_score_relative",
    "cosine_score_relative",
    "ease_score_relative",
    "friends_subscribed",
)


@dataclass(frozen=True)
class Settings:
    """Of a first experiment: sections of its YAML, and why their values are what they are.

    Attributes
    ----------
    stages
        Stage -> field -> value, as in the YAML.
    reasons
        "stage.field" -> a phrase for a comment.
    recipes
        Name -> what it changes in the YAML, the simplest first.
    """

    window_days: int
    stages: Mapping[str, Mapping[str, Any]]
    freshness: Mapping[str, float]
    reasons: Mapping[str, str]
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def settings_for(profile: LogProfile) -> Settings:
    """Settings that fit a log.

    Raises
    ------
    DataError
        It has too few partitions for any.
    """
    if len(profile.dts) < FEWEST:
        raise DataError(
            f"{len(profile.dts)} partitions of one {profile.grain} are too few for an experiment, which needs {FEWEST}",
            why="some days are learnt from, others are labels, and the last ones judge the model",
            remedy="name a file, or by {dt} a folder of files, that covers more days",
        )
    return _Rules(profile).settings()


@dataclass(frozen=True)
class _Rules:
    """The rules, one property for each thing that others follow from."""

    profile: LogProfile

    def settings(self) -> Settings:
        """All of them together."""
        stages = {
            "features": self._features(),
            "embeddings": self._embeddings(),
            "training_set": self._training_set(),
            "model": self._model(),
            "evaluation": {"days": self._span(self.judged)},
            "predictions": self._predictions(),
        }
        month = self.profile.grain == "month"
        freshness = (
            {"model_days": 184, "predictions_hours": 800} if month else {"model_days": 7, "predictions_hours": 26}
        )
        return Settings(self.days, stages, freshness, self._reasons(), self._recipes())

    # -- days ------------------------------------------------------------------------------------------------

    @cached_property
    def days(self) -> int:
        """From the first partition to the end of the last."""
        length = 31 if self.profile.grain == "month" else 1
        return _days(self.profile.dts[0], self.profile.dts[-1]) + length

    @cached_property
    def judged(self) -> int:
        """How many partitions judge."""
        most = max(1, len(self.profile.dts) // 5)
        least = min(most, 1 if self.profile.grain == "month" else 7 if most >= 7 else _SHORT)
        tried = [count for count in _PARTITIONS[self.profile.grain] if least <= count <= most]
        wanted = min(_JUDGED, 0.9 * self._finders(self._newest(tried[-1])))
        return next(count for count in tried if self._finders(self._newest(count)) >= wanted)

    @cached_property
    def plan(self) -> TrainingCalendar:
        """Labels and judged days: as many windows of labels as it takes, or as there is room for."""
        most = min(len(self.profile.dts) // 3 // self.judged, _MOST_WINDOWS)
        plan = self._plan(1)
        for windows in range(2, most + 1):
            if self._lists(plan) >= _LISTS:
                break
            with suppress(DataError):  # gaps may make windows longer than they look
                longer = self._plan(windows)
                plan = longer if 3 * len(longer.label_dts) <= len(self.profile.dts) else plan
        return plan

    @cached_property
    def lists(self) -> int:
        """How many lists the ranker learns from, if candidates hold what users find."""
        return self._lists(self.plan)

    @cached_property
    def before(self) -> int:
        """Days before the oldest label."""
        return _days(self.profile.dts[0], self.plan.label_dts[0])

    def _plan(self, windows: int) -> TrainingCalendar:
        days = self._span(self.judged)
        return training_calendar(self.profile.dts, days, days, windows)

    def _lists(self, plan: TrainingCalendar) -> int:
        windows = [one.label_dts for one in plan.windows]
        each = windows if self._whole_windows else [(dt,) for dts in windows for dt in dts]
        return sum(self._finders(dts) for dts in each)

    @property
    def _whole_windows(self) -> bool:
        return self.judged > _SHORT

    def _newest(self, count: int) -> Sequence[str]:
        return window(self.profile.dts, self.profile.dts[-1], self._span(count))

    def _finders(self, dts: Sequence[str]) -> int:
        return self.profile.finds.finders(dts[0], dts[-1])

    def _span(self, count: int) -> int:
        """Days of `count` partitions in a row, as the newer half of the log has them: months differ, and days may be missing."""
        dts = self.profile.dts[len(self.profile.dts) // 2 :]
        return min(_days(first, last) for first, last in zip(dts, dts[count:], strict=False))

    def _window(self, wanted: float) -> int:
        """The shortest usual window of at least so many days that fits before the oldest label."""
        usual = [days for days in _DAYS[self.profile.grain] if days <= self.before] or [max(self.before, 1)]
        return next((days for days in usual if days >= wanted), usual[-1])

    # -- stages ----------------------------------------------------------------------------------------------

    @cached_property
    def _affinity(self) -> int:
        return self._window(_EVENTS_OF_A_USER * self.profile.user_days / max(self.profile.events, 1))

    @cached_property
    def _popularity(self) -> int:
        return self._window(
            max(_EVENTS_OF_ALL * self.days / max(self.profile.events, 1), min(self._span(self.judged), 28))
        )

    def _features(self) -> dict[str, Any]:
        return {
            "activity_days": self._window(self._affinity / 3),
            "affinity_days": self._affinity,
            "popularity_days": self._popularity,
        }

    def _embeddings(self) -> dict[str, Any]:
        return {
            "factors": 16 if self.profile.sources < 100 else 32 if self.profile.sources < 1000 else 64,
            "regularization": 10.0,
        }

    def _training_set(self) -> dict[str, Any]:
        plan = {"label_days": self._span(self.judged), "windows": len(self.plan.windows)}
        labels = "window" if self._whole_windows else "partition"
        return {**plan, "labels": labels, "negatives_per_positive": 20 if self.lists < _MANY_LISTS else 8}

    def _model(self) -> dict[str, Any]:
        few = self.lists < _FEW_LISTS
        size = (
            {"num_leaves": 15, "num_trees": 100} if self.lists < _MANY_LISTS else {"num_leaves": 31, "num_trees": 150}
        )
        return {
            **size,
            "learning_rate": 0.05,
            "min_data_in_leaf": 20 if few else 50,
            "feature_fraction": 0.5,
            "folds": 8 if few else 1,
            "increasing": _BETTER,
        }

    def _predictions(self) -> dict[str, Any]:
        candidates = max(min(_CANDIDATES, self.profile.sources), 10)
        return {"candidates": candidates, "top_n": max(min(_TOP_N, candidates // 3), min(10, candidates))}

    # -- recipes ---------------------------------------------------------------------------------------------

    def _recipes(self) -> dict[str, dict[str, Any]]:
        """What the first run tries in addition to the standard; what would change nothing is left out."""
        half_life = float(max(self._window(self.before / 8), 1))
        decay = {"half_life_days": half_life}
        shorter, longer = self._scaled(1 / 3), self._scaled(3)
        recipes: dict[str, dict[str, Any]] = {
            "from the blend": {"model": {"base_feature": "blend_score"}},
            "short memory": {"features": shorter, "embeddings": decay, "neighbours": decay},
            "long memory": {"features": longer} if longer != self._features() else {},
            "what is hot": {"features": shorter, "model": {"feature_fraction": 1.0, "increasing": ()}},
            "strong regularisation": {
                "embeddings": {"regularization": 30.0},
                "model": {"num_leaves": 7, "min_data_in_leaf": 100, "lambda_l2": 10.0},
            },
        }
        return {"standard": {}, **{name: {"stages": stages} for name, stages in recipes.items() if stages}}

    def _scaled(self, factor: float) -> dict[str, int]:
        return {name: self._window(days * factor) for name, days in self._features().items()}

    # -- reasons ---------------------------------------------------------------------------------------------

    def _reasons(self) -> dict[str, str]:
        pace, count = self.profile.events / max(self.profile.user_days, 1), len(self.profile.dts)
        judged = f"{self._finders(self.plan.eval_dts):,} users find something new in them"
        lists = f"{self.lists:,} lists to learn from"
        return {
            "window_days": "the whole log",
            "features.affinity_days": f"{_EVENTS_OF_A_USER} events of a user, who has {pace:.2g} a day, within {self.before} days before the labels",
            "features.activity_days": "a third of it",
            "features.popularity_days": f"{_EVENTS_OF_ALL:,} events of all, who have {self.profile.events / self.days:,.0f} a day",
            "embeddings.factors": f"{self.profile.sources:,} sources",
            "training_set.label_days": "as long as the judged days",
            "training_set.windows": lists,
            "training_set.negatives_per_positive": "more where lists are few",
            "model.num_leaves": lists,
            "model.folds": "few lists: all of them train, cross-validation judges"
            if self.lists < _FEW_LISTS
            else "an eighth of the users judges",
            "model.increasing": "what models agree on can only speak for a source",
            "evaluation.days": f"{judged}; at most a fifth of {count} partitions",
            "predictions.candidates": f"of {self.profile.sources:,} sources",
            "predictions.top_n": "a third of the candidates, at most 50",
        }


def _days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
