"""One real `ok-ml run` for the whole folder; tests that break things get it back as it was."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ok_ml.config.loader import load_project
from ok_ml.lake import Lake
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.stages.opening import open_pipeline
from tests.pipelines.world_project import EXPERIMENT, Done, make_world_project, ok_ml

SIZE = "tiny"


@dataclass(frozen=True)
class World:
    """A project folder whose experiment has been run once.

    Attributes
    ----------
    first
        That run, called with `--json`.
    """

    root: Path
    state: Path
    first: Done

    def ok(self, *arguments: str, **more: str) -> Done:
        """Call `ok-ml ...` in its folder, in a process of its own."""
        return ok_ml(self.root, self.state, *arguments, **more)

    @property
    def pipeline(self) -> SourceRecommendation:
        """The experiment, from the configuration as it is now."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV"):
                patch.delenv(name, raising=False)
            patch.setenv("OK_ML_STATE", str(self.state))
            patch.setenv("NUMBA_CACHE_DIR", str(self.state / "numba"))
            return open_pipeline(load_project(self.root, SIZE), EXPERIMENT)

    @property
    def lake(self) -> Lake:
        """Where its tables are."""
        return self.pipeline.lake


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small simulated network, run from its log to what is served. Read only: see `spare_world`."""
    base = tmp_path_factory.mktemp("world")
    root = make_world_project(base / "project")
    return World(root, base / "state", ok_ml(root, base / "state", "--size", SIZE, "run", "--json"))


@pytest.fixture(scope="module")
def copied_world(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of the world for a module of its own: what it adds, nobody else sees."""
    assert world.first.code == 0, world.first.err
    base = tmp_path_factory.mktemp("copied")
    left = shutil.ignore_patterns("spark")  # a JVM may still be clearing it
    shutil.copytree(world.root, base / "project", symlinks=True)
    shutil.copytree(world.state, base / "state", symlinks=True, ignore=left)
    return World(base / "project", base / "state", world.first)


@pytest.fixture
def spare_world(world: World, tmp_path: Path) -> Iterator[World]:
    """The same world, to be broken: configuration and state are put back afterwards."""
    assert world.first.code == 0, world.first.err
    saved = {place: tmp_path / f"saved-{place.name}" for place in (world.root / "configs", world.state)}
    for place, copy in saved.items():
        shutil.copytree(place, copy, symlinks=True)
    yield world
    for place, copy in saved.items():
        shutil.rmtree(place)
        shutil.copytree(copy, place, symlinks=True)
