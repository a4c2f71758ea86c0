"""A year of weekly decisions: small losses do not add up, and an equal or a better recipe still gets through.

What is simulated is each user's value of the metric. The intervals, the decision and the anchor are the gate's own. All runs of a
case are drawn as columns of one table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ok_ml.config.models import ListGate
from ok_ml.quality.ranking.bootstrap import Interval, resample
from ok_ml.release.gate.anchor import Anchor, AnchorJudged, next_anchor, widened
from ok_ml.release.gate.promotion_record import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

GATE = ListGate()
RUNS, USERS, WEEKS, DRAWS = 100, 100, 52, 200
START = 0.2
MOST = 0.95  # share of the runs that has to go well
NOISE = (0.002, 0.01, 0.05)  # standard error of the paired difference, share of the metric: from many users to few


@dataclass
class Run:
    """What is served in one run: true qualities."""

    champion: float = START
    anchor: float = START
    questions: int = 0


Proposal = Callable[[Run, int], float]


def recipe(quality: float) -> Anchor:
    return Anchor({"quality": repr(quality)}, {}, f"{quality:.4f}")


def week(runs: list[Run], proposed: list[float], noise: float, seed: int, *, with_anchor: bool = True) -> list[bool]:
    """One decision in every run: whether the proposal was promoted."""
    drawn = np.random.default_rng(seed)
    truth = np.array([proposed, [run.champion for run in runs], [run.anchor for run in runs]])
    taste = drawn.gamma(2, 0.5, (USERS, len(runs)))
    own = drawn.normal(0, noise * np.sqrt(USERS / 2), (3, USERS, len(runs)))
    own[2] = np.where(truth[2] == truth[1], own[1], own[2])  # one recipe, trained on the same days, is one model
    values = truth[:, None, :] * (taste + own)
    means = resample(values.transpose(1, 0, 2).reshape(USERS, -1), resamples=DRAWS, seed=seed)
    promoted = []
    for number, (run, quality) in enumerate(zip(runs, proposed, strict=True)):
        new, champion, anchor = number, len(runs) + number, 2 * len(runs) + number
        at = {column: {GATE.metric: float(means.estimates[column])} for column in (new, champion, anchor)}
        fresher, judged = quality == run.champion, None
        if with_anchor and not fresher:
            run.questions += 1
            if quality != run.anchor:
                judged = AnchorJudged(recipe(run.anchor), at[anchor], means.difference(new, anchor))
        decision = decide(
            GATE,
            at[new],
            at[champion],
            {GATE.metric: START / 4},
            difference=means.difference(new, champion),
            fresher=fresher if with_anchor else None,
            anchor=judged,
            question=run.questions,
        )
        if decision.promote:
            before, run.champion = run.anchor, quality
            following = next_anchor(recipe(quality), recipe(before), judged, run.questions)
            run.anchor = float(following.recipe["quality"])
            run.questions *= run.anchor == before
        promoted.append(decision.promote)
    return promoted


def year(propose: Proposal, noise: float, *, with_anchor: bool = True) -> "NDArray[np.float64]":
    """The quality that is served at the end of each run, float64 [runs], share of that at the start."""
    runs = [Run() for _ in range(RUNS)]
    for number in range(1, WEEKS + 1):
        week(runs, [propose(run, number) for run in runs], noise, number, with_anchor=with_anchor)
    return np.array([run.champion for run in runs]) / START


def drifting(rate: float) -> Proposal:
    """The recipe that is proposed gets worse week by week, whatever is served."""
    return lambda _run, number: START * (1 - rate) ** number


def a_step_below(rate: float) -> Proposal:
    """Each recipe that is proposed is a little worse than what is served."""
    return lambda run, _number: run.champion * (1 - rate)


def always(gain: float) -> Proposal:
    """The same recipe, week by week."""
    return lambda _run, _number: START * (1 + gain)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("rate", [0.005, 0.01])
@pytest.mark.parametrize("decay", [drifting, a_step_below])
def test_small_losses_do_not_add_up(decay: Callable[[float], Proposal], rate: float, noise: float) -> None:
    assert (year(decay(rate), noise) >= 0.97).mean() >= MOST


@pytest.mark.parametrize("decay", [drifting, a_step_below])
def test_they_would_if_the_champion_alone_were_asked(decay: Callable[[float], Proposal]) -> None:
    """What the simulation finds of "not worse than the champion beyond chance"."""
    left = year(decay(0.005), max(NOISE), with_anchor=False)
    assert left.mean() < 0.85
    assert (left >= 0.97).mean() < 1 - MOST


def test_a_refused_recipe_does_not_get_through_by_being_asked_again() -> None:
    """One that is 3.5 % worse, among so few users that one question in eighty would be passed by chance."""
    assert (year(always(-0.035), max(NOISE)) == 1).mean() >= MOST


@pytest.mark.parametrize("noise", NOISE)
def test_an_equal_recipe_that_is_fresher_is_let_through_within_two_weeks(noise: float) -> None:
    runs = [Run() for _ in range(RUNS)]
    through = [week(runs, [START] * RUNS, noise, number) for number in (1, 2)]
    assert np.logical_or(*through).mean() >= MOST
    assert {(run.champion, run.anchor, run.questions) for run in runs} == {(START, START, 0)}


@pytest.mark.parametrize(("noise", "least"), [(0.002, MOST), (0.01, 0.3)])
def test_a_better_recipe_is_let_through_and_becomes_the_anchor(noise: float, least: float) -> None:
    """Within chance it is promoted, and the anchor stays; beyond chance it is the anchor."""
    runs = [Run() for _ in range(RUNS)]
    assert np.mean(week(runs, [START * 1.02] * RUNS, noise, 1)) >= MOST
    assert least <= np.mean([run.anchor > START for run in runs])


def test_among_few_users_a_better_recipe_waits_for_more_of_them() -> None:
    runs = [Run() for _ in range(RUNS)]
    assert np.mean(week(runs, [START * 1.02] * RUNS, max(NOISE), 1)) < 0.5


def test_the_levels_of_all_questions_add_up_to_that_of_one_interval() -> None:
    """The first is half of 5 %; the second, by hand, 0.05 x 6 / (2 pi)^2 = 0.0076, at 2.428 standard errors."""
    one = Interval(0.0, -1.96, 1.96, 100)
    assert widened(one, 1) == widened(one, 0) == one
    assert widened(one, 2).high == pytest.approx(2.428, abs=1e-3)
    shifted = widened(Interval(1.0, 0.5, 2.0, 7), 2)
    assert (shifted.estimate, shifted.users) == (1.0, 7)
    assert (shifted.low, shifted.high) == pytest.approx((1 - 0.5 * 1.2386, 1 + 1.2386), abs=1e-3)
    tails = [math.erfc(widened(one, number).high / math.sqrt(2)) / 2 for number in range(1, 2000)]
    assert tails == sorted(tails, reverse=True)
    assert sum(tails) < 0.05
