"""What lists would earn, against a truth that is planted: whoever was served, the estimate is right and prefers nobody."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from ok_ml.quality.ranking.bootstrap import interval
from ok_ml.quality.ranking.policy_value import Exposures, PolicyValue, ShownLists, policy_value

USERS, SOURCES, PLACES, POOL, SHARE, DAYS = 2500, 90, 12, 48, 0.06, 3
LOOK = (1 + np.arange(PLACES)) ** -0.7 / ((1 + np.arange(PLACES)) ** -0.7).sum()
RUNS, WORLDS = 200, 5


@dataclass(frozen=True)
class Planted:
    """Chances of a reaction, what a model makes of them, and lists: float64 [users, sources]; int64 [users, places].

    The lists know of a user and a source no more than the model does, as those of a ranker on the same features.
    """

    chances: np.ndarray
    model: np.ndarray
    pool: np.ndarray
    lists: dict[str, np.ndarray]

    @classmethod
    @cache
    def of(cls, seed: int) -> "Planted":
        draw = np.random.default_rng([7, seed])
        taste = draw.normal(0, 1, (USERS, 6)) @ draw.normal(0, 0.5, (6, SOURCES))
        odds = -2.2 + draw.normal(0, 0.4, (USERS, 1)) + draw.normal(0, 0.5, SOURCES) + taste
        # The model is too sure of itself, and wrong by pair and a little by source.
        wrong = 1.2 * odds + draw.normal(0, 0.05, SOURCES) + draw.normal(0, 0.4, odds.shape)
        scores = {name: wrong + draw.normal(0, noise, odds.shape) for name, noise in (("good", 0.5), ("bad", 1.0))}
        lists = {name: np.argsort(-score, axis=1)[:, :PLACES] for name, score in scores.items()}
        pool = np.argsort(-(wrong + draw.normal(0, 0.8, odds.shape)), axis=1)[:, :POOL]
        return cls(_chance(odds), _chance(wrong), pool, lists)

    def value(self, name: str) -> float:
        """What lists earn a look: the truth."""
        return float((np.take_along_axis(self.chances, self.lists[name], axis=1) @ LOOK).mean())

    def served(self, name: str, seed: int) -> Exposures:
        """Some days on which these lists were served: every day others of their places explore."""
        draw, base, lists, chances, explored = np.random.default_rng([11, seed]), self.lists[name], [], [], []
        for _ in range(DAYS):
            day = base.copy()
            free = ~(self.pool[:, :, None] == base[:, None, :]).any(axis=2)
            explores = draw.random(base.shape) < SHARE
            order = np.argsort(np.where(free, draw.random(free.shape), 2), axis=1)
            rows, places = np.nonzero(explores)
            nth = (np.cumsum(explores, axis=1) - 1)[rows, places]
            day[rows, places] = self.pool[rows, order[rows, nth]]
            lists.append(day)
            explored.append(explores)
            chances.append(np.where(explores, SHARE / free.sum(axis=1)[:, None], 1 - SHARE))
        shown = ShownLists(
            np.tile(np.arange(USERS), DAYS), np.concatenate(lists), np.concatenate(chances), np.concatenate(explored)
        )
        rows = np.repeat(np.arange(USERS * DAYS), draw.poisson(2.0, USERS * DAYS))
        ranks = draw.choice(PLACES, len(rows), p=LOOK)
        liked = draw.random(len(rows)) < self.chances[shown.users[rows], shown.sources[rows, ranks]]
        return Exposures(shown, rows, ranks, liked.astype(np.float64))

    def estimate(self, exposures: Exposures, lists: np.ndarray) -> PolicyValue:
        """By a model that is wrong."""
        of_shown = self.model[exposures.users, exposures.sources]
        return policy_value(exposures, lists, np.take_along_axis(self.model, lists, axis=1), of_shown)


def _chance(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


@dataclass(frozen=True)
class Told:
    """One run: what was estimated while one of two kinds of lists was served."""

    world: Planted
    served: str
    good: np.ndarray
    bad: np.ndarray

    @property
    def misses(self) -> dict[str, float]:
        """Estimate minus truth, in standard errors; of the difference as it is."""
        values = {"good": self.good, "bad": self.bad}
        truths = {name: self.world.value(name) for name in values}
        found = {name: (one.mean() - truths[name]) / (one.std() / len(one) ** 0.5) for name, one in values.items()}
        return {**found, "difference": self.difference - (truths["good"] - truths["bad"])}

    @property
    def difference(self) -> float:
        return float(self.good.mean() - self.bad.mean())


@pytest.fixture(scope="module")
def runs() -> list[Told]:
    """In five worlds, each kind of lists served in half of the runs."""
    found = []
    for seed in range(RUNS):
        world, served = Planted.of(seed % WORLDS), ("good", "bad")[seed // WORLDS % 2]
        exposures = world.served(served, seed)
        values = [world.estimate(exposures, world.lists[name]).by_user for name in ("good", "bad")]
        found.append(Told(world, served, *(one[~np.isnan(one)] for one in values)))
    return found


def test_intervals_hold_the_truth_whoever_was_served(runs: list[Told]) -> None:
    for name in ("good", "bad"):
        assert np.mean([abs(one.misses[name]) < 1.96 for one in runs]) >= 0.93, name


@pytest.mark.parametrize("served", ["good", "bad"])
def test_the_better_lists_win_whoever_was_served(runs: list[Told], served: str) -> None:
    mine = [one for one in runs if one.served == served]
    assert np.mean([one.difference > 0 for one in mine]) >= 0.95
    truth = np.mean([one.world.value("good") - one.world.value("bad") for one in mine])
    assert abs(np.mean([one.misses["difference"] for one in mine])) < 0.25 * truth


def test_the_interval_of_a_difference_is_that_of_users() -> None:
    """The bootstrap of the evaluation and the normal approximation of the other tests agree."""
    world = Planted.of(0)
    values = world.estimate(world.served("good", 1), world.lists["bad"]).by_user
    values = values[~np.isnan(values)]
    told, half = interval(values, resamples=1000, seed=2), 1.96 * values.std() / len(values) ** 0.5
    assert (told.high - told.low) / 2 == pytest.approx(half, rel=0.12)


def test_what_was_liked_where_it_was_shown_prefers_whoever_was_served() -> None:
    """The fault that the estimate is there for: hits among the reactions of the log, as a ranking metric counts them."""
    told = {}
    for served in ("good", "bad"):
        hits = []
        for seed in range(20):
            world = Planted.of(seed % WORLDS)
            exposures = world.served(served, seed)
            liked = exposures.rewards > 0
            users, sources = exposures.users[liked], exposures.sources[liked]
            hits.append([(world.lists[name][users] == sources[:, None]).any(axis=1).mean() for name in ("good", "bad")])
        told[served] = np.mean(hits, axis=0)
    assert told["good"][0] > told["good"][1]
    assert told["bad"][1] > told["bad"][0]


def test_of_lists_that_are_equally_good_none_is_preferred_for_having_been_served() -> None:
    """A/A: halves of the users swap two kinds of lists that know what the model knows; the misses are centred on zero."""
    misses = []
    for seed in range(40):
        world = Planted.of(seed % WORLDS)
        draw, odds = np.random.default_rng([13, seed]), np.log(world.model / (1 - world.model))
        ours, theirs = (np.argsort(-(odds + draw.normal(0, 0.7, odds.shape)), axis=1)[:, :PLACES] for _ in range(2))
        twins = Planted(world.chances, world.model, world.pool, {"ours": ours, "theirs": theirs})
        truth = twins.value("ours") - twins.value("theirs")
        for served, sign in (("ours", 1), ("theirs", -1)):
            exposures = twins.served(served, seed)
            values = [np.nanmean(twins.estimate(exposures, lists).by_user) for lists in (ours, theirs)]
            misses.append(sign * (values[0] - values[1] - truth))
    assert abs(np.mean(misses)) < 2.6 * np.std(misses) / np.sqrt(len(misses))


def test_served_lists_are_worth_what_they_earned() -> None:
    world = Planted.of(0)
    exposures = world.served("good", 3)
    told = world.estimate(exposures, world.lists["good"])
    own = exposures.rewards[~exposures.explored].mean()
    assert np.nanmean(told.by_user) == pytest.approx(own, rel=0.03)
    assert told.unserved == pytest.approx(SHARE, abs=0.02)
    assert told.effective > 0.8 * (~exposures.explored).sum()


def test_lists_that_nobody_was_shown_rest_on_what_explored() -> None:
    world = Planted.of(1)
    exposures = world.served("good", 4)
    least = np.argsort(world.chances, axis=1)[:, :PLACES]
    told = world.estimate(exposures, least)
    assert told.unserved > 0.95
    assert np.nanmean(told.by_user) < 0.5 * world.value("good")


def test_users_without_lists_or_without_exposures_do_not_count() -> None:
    world = Planted.of(2)
    exposures, lists = world.served("bad", 5), world.lists["bad"].copy()
    lists[:100] = -1
    told = world.estimate(exposures, lists).by_user
    asked = np.bincount(exposures.users, minlength=USERS) > 0
    assert np.array_equal(np.isnan(told), ~asked | (np.arange(USERS) < 100))
    nothing = world.estimate(exposures, np.full_like(lists, -1))
    assert np.isnan(nothing.by_user).all()
    assert (nothing.effective, nothing.unserved) == (0.0, 0.0)
