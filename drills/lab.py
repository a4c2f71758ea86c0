"""The pipeline by hand on a lake of its own: no Dagster, no Spark, no registry; the same functions."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from drills.deployment import DATASET, EXPERIMENT, SIZE, Deployment
from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.lake import WHOLE, Lake
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.stages.opening import open_pipeline
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.log.raw_log import export_days
from ok_ml.world.population.network import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ok_ml.config.sections.dataset_models import Incident

LAKE: Final = f"lake-{SIZE}"


class Lab:
    """The deployment's configuration over another state folder.

    Parameters
    ----------
    state
        Folder of the lake; what is in it stays.

    Attributes
    ----------
    world
        The network without any incident.
    """

    def __init__(self, deployment: Deployment, state: Path) -> None:
        os.environ["OK_ML_STATE"] = str(state)
        self.state, self.project = state, load_project(deployment.root, SIZE)
        self.config = self.project.event_logs[DATASET]
        self.world, self.lake = self.world_with(()), Lake(self.project.lake_root)
        pipeline = open_pipeline(self.project, EXPERIMENT)
        assert isinstance(pipeline, SourceRecommendation)
        self.pipeline = pipeline

    @property
    def days(self) -> list[str]:
        """The ingested days, ascending."""
        return self.lake.partitions(DATASET, c.EVENTS)

    def world_with(self, incidents: "tuple[Incident, ...]") -> World:
        """The network with no incidents but these."""
        assert self.config.world is not None
        changes = {"incidents": incidents, "taste_changes": ()}
        return World(self.config.world.model_copy(update=changes), self.config.parts)

    def live(self, dts: "Sequence[str]", served: ServedLists | None = None, world: World | None = None) -> None:
        """Let days go by with these lists served, and ingest their export."""
        from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
        from ok_ml.datasets.canonical.ingest import ingest_events

        export_days(world or self.world, self.lake, DATASET, dts, served=served, workers=1)
        ingest_events(self.config, self.lake, dts, root=self.project.root)
        build_snapshots(self.config, self.lake, dts, root=self.project.root)

    def train(self) -> Path:
        """A bundle from everything that is ingested now."""
        from ok_ml.pipelines.source_recommendation import training
        from ok_ml.pipelines.source_recommendation.fitting import fit_cuts

        self.build_features([dt for run in self.pipeline.feature_runs() for dt in run])
        fit_cuts(self.pipeline, _no_spark, progress=_quiet)
        training.assemble_training_set(self.pipeline, progress=_quiet)
        ranker = training.fit_ranker(self.pipeline, self.lake.read(EXPERIMENT, c.TRAINING_SET, [WHOLE]))
        bundle = self.state / "bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        bundle.mkdir()
        training.write_model_bundle(self.pipeline, ranker, bundle)
        return bundle

    def predict(self, bundle: Path, dt: str) -> ServedLists:
        """What this bundle serves on the day after `dt`."""
        import pyarrow as pa

        from ok_ml.ranked_lists.fits import fit_at
        from ok_ml.recommender.inference.scoring import ScoringBundle, score_cut_part
        from ok_ml.recommender.ranking.ranking_context import Cut

        self.build_features([dt])
        loaded = ScoringBundle.load(bundle)
        fitted = fit_at(self.pipeline, dt, loaded.recipe, _no_spark)
        cut = Cut.load(self.pipeline.tables, dt, fitted=fitted, layout=loaded.layout)
        rows = pa.concat_tables(
            [score_cut_part(cut.part(part), loaded.ranker, loaded.stage) for part in range(self.config.parts)]
        )
        ordered = rows.sort_by(c.USER_ID)
        lists = ordered[c.SOURCE_IDS].to_pylist()
        padded = np.full((len(lists), max(map(len, lists))), -1, np.int64)
        for row, ids in zip(padded, lists, strict=True):
            row[: len(ids)] = ids
        return ServedLists(ordered[c.USER_ID].to_numpy(), padded)

    def build_features(self, dts: "Sequence[str]") -> None:
        """Features of days, those left out that are current."""
        from ok_ml.pipelines.source_recommendation.featuring import build_features

        todo = [dt for dt in dts if not all(self.pipeline.is_current(table, dt) for table in c.FEATURE_TABLES)]
        if todo:
            build_features(self.pipeline, None, todo, progress=_quiet)


def _quiet(_text: str) -> None:
    """No one listens."""


def _no_spark() -> None:
    """The implicit engine needs none."""
