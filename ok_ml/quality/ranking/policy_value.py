"""What lists would earn if they were served, estimated from the log of lists that were served, whoever made those.

The value of lists is the probability that a post earns a reaction that is shown because of them. A user's list pi is looked at by
rank: rank r with a weight w_r, which is the share of the exposures at that rank::

    V(pi) = mean over exposures of the sum over r of w_r P(reaction | user, pi_r(user))

The estimate is doubly robust (Dudik, Langford, Li 2011): a model m of reactions, fitted on days before, stands for P, and its
error is measured on what was shown::

    V = mean over exposures i of  [ sum over r of w_r m(u_i, pi_r)  +  weight_i (y_i - m(u_i, s_i))  +  rest_i ]

    weight_i   w(rank of s_i in pi) / (p_i w(rank of s_i as served)) of a source of the served list, shown there with probability
               p_i; 0 of one that was shown to explore
    rest_i     sum over r of w_r (P(u_i, pi_r) - m(u_i, pi_r)) of what the served list of u_i does not hold; P = sigmoid(a + b
               logit m) is m as what was shown to explore calibrates it (Platt 1999)

Each place of a served list explores with a small probability: it holds a source that is not in the list. The probability of any
one such source is tiny, and weights of one over it would drown every estimate. So what explored calibrates m for all sources that
the list does not hold; what tells apart two of them that m holds for equally good, no log says (conjunct effects: Saito, Ren,
Joachims 2023). Nothing here knows who made which list.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.places import NOWHERE, place_of
from ok_ml.quality.ranking.ranking_metrics import EMPTY

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACTION_RATE: Final = "reaction_rate"  # the value, in an evaluation
_LEAST: Final = 1e-4  # chances are held this far from 0 and 1
_NEWTON: Final = 12  # steps; the problem has two unknowns and one optimum


@dataclass(frozen=True)
class ShownLists:
    """Lists that were served, a row a user and generation.

    Attributes
    ----------
    users
        int64 [l]: row of the user among those that are asked about.
    sources
        int64 [l, k], as served, padded with -1.
    propensities
        float64 [l, k]: of a source of the list, that its place held it and explored not; of an explored one, that it was drawn.
    explored
        bool [l, k]: places that explored.
    """

    users: "NDArray[np.int64]"
    sources: "NDArray[np.int64]"
    propensities: "NDArray[np.float64]"
    explored: "NDArray[np.bool_]"


@dataclass(frozen=True)
class Exposures:
    """Posts that were shown because of a list, and whether they earned a reaction.

    Attributes
    ----------
    rows, ranks
        int64 [n]: row of `lists` and place in it, from 0.
    rewards
        float64 [n], 1 with a positive reaction.
    """

    lists: ShownLists
    rows: "NDArray[np.int64]"
    ranks: "NDArray[np.int64]"
    rewards: "NDArray[np.float64]"

    @property
    def users(self) -> "NDArray[np.int64]":
        """Row of the user of each exposure, int64 [n]."""
        return self.lists.users[self.rows]

    @property
    def sources(self) -> "NDArray[np.int64]":
        """What was shown, int64 [n]."""
        shown: NDArray[np.int64] = self.lists.sources[self.rows, self.ranks]
        return shown

    @property
    def explored(self) -> "NDArray[np.bool_]":
        """Whether it was shown to explore, bool [n]."""
        explored: NDArray[np.bool_] = self.lists.explored[self.rows, self.ranks]
        return explored

    @cached_property
    def look(self) -> "NDArray[np.float64]":
        """Share of the exposures at each rank, float64 [k], sums to 1."""
        counts = np.bincount(self.ranks, minlength=self.lists.sources.shape[1])
        shares: NDArray[np.float64] = counts / max(counts.sum(), 1)
        return shares


@dataclass(frozen=True)
class PolicyValue:
    """An estimate.

    Attributes
    ----------
    by_user
        float64 [users]: their mean is the value, and their spread its error; NaN for a user without an exposure.
    effective
        (sum of weights)^2 / sum of squared weights, of what was shown from the lists: as many exposures of the policy's own
        would say as much.
    unserved
        Share of the policy, by w, that the served lists do not hold: only what explored speaks of it.
    """

    by_user: "NDArray[np.float64]"
    effective: float
    unserved: float


def policy_value(
    exposures: Exposures,
    lists: "NDArray[np.int64]",
    expected: "NDArray[np.float64]",
    expected_shown: "NDArray[np.float64]",
) -> PolicyValue:
    """What some lists would earn.

    Parameters
    ----------
    lists
        int64 [users, k], the policy's, padded with -1; a user without one does not count.
    expected
        float64 [users, k]: m of each of them.
    expected_shown
        float64 [n]: m of what was shown.
    """
    mass, users = _mass(exposures.look, lists), exposures.users
    counted: NDArray[np.bool_] = np.any(mass, axis=1)[users]
    if not counted.any():
        return PolicyValue(np.full(len(lists), np.nan), 0.0, 0.0)
    modelled = (mass * np.where(lists == EMPTY, 0.0, expected)).sum(axis=1)
    weights = np.where(counted, _weights(exposures, lists, mass), 0.0)
    calibration = _Calibration.of(expected_shown[exposures.explored], exposures.rewards[exposures.explored])
    rest = _outside(exposures.lists, lists, mass, expected, calibration)[exposures.rows]
    gained = modelled[users] + weights * (exposures.rewards - expected_shown) + rest[:, 1]
    gained[exposures.explored] += len(users) * calibration.moves(rest[counted, 2:].mean(axis=0))
    sums = np.bincount(users[counted], gained[counted], len(lists)).astype(np.float64)
    return PolicyValue(
        _linear(sums, np.bincount(users[counted], minlength=len(lists))),
        float(weights.sum() ** 2 / np.square(weights).sum()) if weights.any() else 0.0,
        float(rest[counted, 0].mean()),
    )


def _mass(look: "NDArray[np.float64]", lists: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """How much each place of a list is looked at, float64 [users, k]; of each list that is not empty 1 in all."""
    wide = np.pad(look, (0, max(lists.shape[1] - len(look), 0)))[: lists.shape[1]]
    mass = np.where(lists == EMPTY, 0.0, wide)
    total = mass.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
    return shares


def _weights(exposures: Exposures, lists: "NDArray[np.int64]", mass: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """How much likelier the policy shows what was shown from a list, float64 [n]; 0 of what explored."""
    users = exposures.users
    likely = (mass[users] * (lists[users] == exposures.sources[:, None])).sum(axis=1)
    served = exposures.lists.propensities[exposures.rows, exposures.ranks] * exposures.look[exposures.ranks]
    weights: NDArray[np.float64] = np.divide(likely, served, out=np.zeros(len(likely)), where=~exposures.explored)
    return weights


@dataclass(frozen=True)
class _Calibration:
    """What m is worth outside of the served lists: P = sigmoid(a + b logit m), fitted on what explored.

    A normal prior with deviation 1 holds it to P = m, so that few explored exposures say little, and none nothing.

    Attributes
    ----------
    theta, inverse
        float64 [2] and [2, 2]: a and b; the inverse of the information.
    logits, errors
        Of what explored: logit m, and y - P over 1 - leverage (HC3: MacKinnon, White 1985).
    """

    theta: "NDArray[np.float64]"
    inverse: "NDArray[np.float64]"
    logits: "NDArray[np.float64]"
    errors: "NDArray[np.float64]"

    @classmethod
    def of(cls, expected: "NDArray[np.float64]", rewards: "NDArray[np.float64]") -> "_Calibration":
        logits, prior = _logit(expected), np.array([0.0, 1.0])
        rows, theta = _design(logits), prior
        for _ in range(_NEWTON):
            chances = _sigmoid(rows @ theta)
            information = (rows * (chances * (1 - chances))[:, None]).T @ rows + np.eye(2)
            theta = theta + np.linalg.solve(information, rows.T @ (rewards - chances) - (theta - prior))
        chances = _sigmoid(rows @ theta)
        inverse = np.asarray(np.linalg.inv(information), np.float64)
        leverage: NDArray[np.float64] = ((rows @ inverse) * rows).sum(axis=1) * chances * (1 - chances)
        return cls(theta, inverse, logits, (rewards - chances) / (1 - leverage))

    def chance(self, logits: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """P of some logits of m."""
        return _sigmoid(_design(logits) @ self.theta)

    def moves(self, gradient: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """How each explored exposure has moved an average whose derivatives by a and b are `gradient`."""
        moved: NDArray[np.float64] = (_design(self.logits) @ self.inverse @ gradient) * self.errors
        return moved


def _outside(
    shown: ShownLists,
    lists: "NDArray[np.int64]",
    mass: "NDArray[np.float64]",
    expected: "NDArray[np.float64]",
    calibration: _Calibration,
) -> "NDArray[np.float64]":
    """Of what each served list does not hold, float64 [l, 4]: the policy's share, the share times P - m, its derivatives."""
    logits = _logit(expected)
    chances = calibration.chance(logits.ravel()).reshape(logits.shape)
    slopes = chances * (1 - chances)
    parts = (np.ones_like(logits), chances - expected, slopes, slopes * logits)
    shares = mass[shown.users] * ~_held(shown, lists)
    return np.stack([(shares * part[shown.users]).sum(axis=1) for part in parts], axis=1)


def _held(shown: ShownLists, lists: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """Which places of the policy's lists the served list of the same user holds, bool [l, k]; padding it does not."""
    sources, codes = np.unique(np.where(shown.explored, EMPTY, shown.sources), return_inverse=True)
    rows = np.arange(len(shown.users))[:, None] * len(sources)
    base = np.sort((rows + codes.reshape(shown.sources.shape)).ravel())
    code = place_of(sources, lists.ravel()).reshape(lists.shape)[shown.users]
    wanted = np.where(code < 0, NOWHERE, rows + code)
    held: NDArray[np.bool_] = (place_of(base, wanted.ravel()).reshape(wanted.shape) >= 0) & (
        lists[shown.users] != EMPTY
    )
    return held


def _design(logits: "NDArray[np.float64]") -> "NDArray[np.float64]":
    return np.stack([np.ones(len(logits)), logits], axis=1)


def _logit(chances: "NDArray[np.float64]") -> "NDArray[np.float64]":
    some = np.clip(chances, _LEAST, 1 - _LEAST)
    logits: NDArray[np.float64] = np.log(some / (1 - some))
    return logits


def _sigmoid(odds: "NDArray[np.float64]") -> "NDArray[np.float64]":
    chances: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return chances


def _linear(sums: "NDArray[np.float64]", counts: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Values by user whose mean is the ratio sum(sums) / sum(counts), and whose spread is its error (the delta method)."""
    some, value = counts > 0, sums.sum() / counts.sum()
    return np.where(some, value + (sums - value * counts) / counts[some].mean(), np.nan)
