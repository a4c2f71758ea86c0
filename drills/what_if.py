"""Act 3: the broken days once more without checks, in this process, on a copy of the lake.

Two worlds with the same people, days and chances. In one the last good generation stays, as the checks made it. In the other the
join stays broken, what is served is made from it every day, and the model is retrained on it every week. What people did differs
only by what they were shown.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from drills.deployment import DATASET, Deployment
from drills.lab import LAKE, Lab
from ok_ml.config.sections.dataset_models import Incident
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.simulation import simulate_block
from ok_ml.world.log.raw_log import state_before

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAYS: Final = 14
RETRAINED_AFTER: Final = (3, 10)  # days after the break: the weekly retraining
_LIKE: Final = "like"
_RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Likes:
    """Likes by day of two worlds.

    Attributes
    ----------
    low, high
        95 % interval of the relative change of all likes from the first retraining on, by bootstrap over users.
    """

    days: list[str] = field(default_factory=list)
    with_checks: list[int] = field(default_factory=list)
    without: list[int] = field(default_factory=list)
    retrained: list[str] = field(default_factory=list)
    change: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def falls(self) -> bool:
        """Whether likes are fewer without checks, beyond chance."""
        return self.high < 0

    @property
    def told(self) -> str:
        """The change in words."""
        return f"{self.change:+.1%} ({self.low:+.1%} .. {self.high:+.1%}) likes after the first retraining"


def without_checks(deployment: Deployment, broken_day: str, say: Callable[[str], None]) -> Likes:
    """Play both worlds from the broken day on."""
    lab = _WhatIf(deployment, broken_day)
    say(f"        act 3: {DAYS} days from {broken_day} on, checked and unchecked")
    bundle = lab.train()
    good = lab.predict(bundle, lab.days[-1])
    number = lab.world.day_of(broken_day)
    kept = lab.likes_when_served(good, number)
    lost: list[NDArray[np.int64]] = []
    served, retrained = good, []
    for ahead in range(DAYS):
        dt = lab.world.date_of(number + ahead)
        lost.append(lab.broken(dt, served))
        if ahead in RETRAINED_AFTER:
            bundle = lab.train()
            retrained.append(dt)
        served = lab.predict(bundle, dt)
    days = [lab.world.date_of(number + ahead) for ahead in range(DAYS)]
    return compared(days, kept, lost, retrained)


def compared(
    days: list[str], kept: "Sequence[NDArray[np.int64]]", lost: "Sequence[NDArray[np.int64]]", retrained: list[str]
) -> Likes:
    """Likes by day and user, int64 [users] a day, of both worlds laid side by side."""
    after = slice(RETRAINED_AFTER[0] + 1, None)
    one, other = (np.sum(np.stack(side[after]), axis=0).astype(np.float64) for side in (kept, lost))
    draws = np.random.default_rng(20201).integers(0, len(one), (_RESAMPLES, len(one)))
    low, high = np.quantile(other[draws].sum(axis=1) / one[draws].sum(axis=1) - 1, (0.025, 0.975))
    checked, unchecked = ([int(day.sum()) for day in side] for side in (kept, lost))
    return Likes(days, checked, unchecked, retrained, float(other.sum() / one.sum() - 1), float(low), float(high))


class _WhatIf(Lab):
    """A copy of the lake up to the broken day, and a join that stays broken."""

    def __init__(self, deployment: Deployment, broken_day: str) -> None:
        state = deployment.base / "what_if"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(deployment.state / LAKE, state / LAKE, copy_function=os.link)
        _forget_from(state / LAKE, broken_day)
        super().__init__(deployment, state)
        first = self.world.day_of(broken_day)
        self._users = np.sort(self.world.user_ids(first - 1))  # whose likes are counted: those who were there before
        self._broken_world = self.world_with(
            tuple(Incident(day=first + ahead, kind="misjoined", size=1.0) for ahead in range(DAYS))
        )

    def broken(self, dt: str, served: ServedLists) -> "NDArray[np.int64]":
        """Let a day go by whose export is broken, take it in as it came; the likes of each user that truly happened."""
        day = self.world.day_of(dt)
        likes = self._likes_of_day(day, served, state_before(self.world, self.lake, DATASET, day))
        self.live([dt], served, self._broken_world)
        return likes

    def likes_when_served(self, served: ServedLists, first: int) -> "list[NDArray[np.int64]]":
        """The likes of each user on every day if the same lists stay."""
        state = state_before(self.world, self.lake, DATASET, first)
        return [self._likes_of_day(first + ahead, served, state) for ahead in range(DAYS)]

    def _likes_of_day(self, day: int, served: ServedLists, state: dict[int, Any]) -> "NDArray[np.int64]":
        users = self._users
        likes = np.zeros(len(users), np.int64)
        for block in self.world.blocks(day):
            done = simulate_block(self.world, block, day, state.get(block), served)
            state[block] = done.subscriptions
            liked = done.events.filter(np.asarray(done.events["action"].to_pylist()) == _LIKE)["userId"].to_numpy()
            at = np.searchsorted(users, liked)
            known = (at < len(users)) & (users[np.minimum(at, len(users) - 1)] == liked)
            likes += np.bincount(at[known], minlength=len(users))
        return likes


def _forget_from(lake: Path, day: str) -> None:
    """Leave out every committed partition from a day on; tables without days are made again by the training."""
    for manifest in lake.glob("*/*/_committed/*.json"):
        if manifest.stem[:4].isdigit() and manifest.stem >= day:
            manifest.unlink()
