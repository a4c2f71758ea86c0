"""Several quiet worlds at once, each in a process of its own; a world that was lived before is read from its file."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from bench.calibration.quiet_worlds import QuietWorld, Watched
from ok_ml.config.models import DatasetConfig, FeaturesStage
from ok_ml.config.sections.recommender_models import ListChecks
from ok_ml.lake import fingerprint

CODE_VERSION: Final = "3"  # raise it when the same world brings other numbers
_MATTERS: Final = {"world", "events", "users", "sources", "subscriptions", "friends", "weights", "grades", "checks"}


@dataclass(frozen=True)
class Plan:
    """Which worlds.

    Attributes
    ----------
    folder
        Where their numbers are stored, a file a seed, and their lakes while they live.
    """

    dataset: DatasetConfig
    stage: FeaturesStage
    checks: ListChecks
    folder: Path
    days: int
    users: int
    features: bool = True

    def path(self, seed: int) -> Path:
        """The file of a world's numbers."""
        return self.folder / f"{self.key}-{seed}.parquet"

    @property
    def key(self) -> str:
        """What the numbers of a world hang on, its seed aside."""
        parts = {
            "dataset": self.dataset.model_dump(mode="json", include=_MATTERS),
            "stage": self.stage.model_dump(mode="json"),
            "drift": self.checks.drift.model_dump(mode="json"),
            "days": self.days,
            "users": self.users,
            "features": self.features,
            "code": CODE_VERSION,
        }
        return fingerprint(parts)

    def world(self, seed: int) -> QuietWorld:
        """One of the worlds, in a folder in memory where there is one."""
        shared = Path("/dev/shm")
        root = shared if os.access(shared, os.W_OK) else self.folder
        folder = root / f"ok-ml-quiet-{self.key}-{seed}-{os.getpid()}"
        return QuietWorld.of(self.dataset, self.stage, self.checks, folder, seed=seed, days=self.days, users=self.users)


def live_worlds(
    plan: Plan, seeds: Sequence[int], *, workers: int = 2, progress: Callable[[str], None] | None = None
) -> list[Watched]:
    """What was watched in each world, in the order of the seeds."""
    todo = [seed for seed in seeds if not plan.path(seed).exists()]
    for done in _lived(plan, todo, workers):
        if progress:
            progress(done)
    return [Watched.load(plan.path(seed)) for seed in seeds]


def _lived(plan: Plan, seeds: Sequence[int], workers: int) -> Iterator[str]:
    if workers <= 1 or len(seeds) <= 1:
        yield from (live_one(plan, seed) for seed in seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        running = [pool.submit(live_one, plan, seed) for seed in seeds]
        yield from (future.result() for future in as_completed(running))


def live_one(plan: Plan, seed: int) -> str:
    """Live one world and keep its numbers; a line about it."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    world = plan.world(seed)
    shutil.rmtree(world.folder, ignore_errors=True)
    try:
        world.live(features=plan.features).save(plan.path(seed))
    finally:
        world.clean()
    return f"seed {seed}: {plan.days} quiet days"
