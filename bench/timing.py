"""Fair timing on a machine that changes its speed: contestants take turns, and the best of each counts."""

import time
from collections.abc import Callable, Mapping

Contestant = Callable[[], float]


def timed(work: Callable[[], object]) -> Contestant:
    """A contestant that is all work."""

    def run() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return run


def race(contestants: Mapping[str, Contestant], repeats: int) -> dict[str, float]:
    """Best seconds of each; every round runs all of them in turn, in the other direction every second time.

    Parameters
    ----------
    contestants
        Name -> does the work once and returns the seconds that count.
    """
    best = dict.fromkeys(contestants, float("inf"))
    order = list(contestants)
    for _ in range(repeats):
        for name in order:
            best[name] = min(best[name], contestants[name]())
        order.reverse()
    return best
