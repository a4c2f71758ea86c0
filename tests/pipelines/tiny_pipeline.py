"""The training chain of a tiny world without Spark, Dagster and MLflow: what it commits is the pipeline's own."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.lake import Lake, Manifest
from ok_ml.pipelines.source_recommendation.fitting import fit_cuts
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.pipelines.source_recommendation.training import assemble_training_set, train_model
from ok_ml.recommender.ranking.gather import BLEND_SCORE, FeatureLayout, neighbour_features
from ok_ml.release.gate.evaluating import evaluate_model
from ok_ml.release.gate.promoting import promote
from ok_ml.stages.evaluation import Evaluated
from ok_ml.stages.training import Registered, Trained
from tests.recommender.tiny_world import (
    DATASET,
    EXPERIMENT,
    LAYOUT,
    PARTS,
    SOURCE_IDS,
    USER_IDS,
    TinyWorld,
    build_world,
    with_part,
)
from tests.small_project import BASE, ROOT, write

DATASET_YAML = f"""\
dataset: {DATASET}
description: The tiny world.
owners: [data@example.org]
parts: {PARTS}
events:
  path: none.parquet
  columns: {{user_id: u, source_id: s, item_id: i, event_type: e}}
  time: {{columns: [t], format: epoch_ms}}
  event_types: {{seen: impression, liked: like, shared: share}}
has_impressions: true
weights: {{like: 1.0, share: 3.0}}
grades: {{like: 2, share: 4}}
"""
EXPERIMENT_YAML = f"""\
experiment: {EXPERIMENT}
pipeline_type: source_recommendation
owners: [discovery@example.org]
datasets:
  events: {{name: {DATASET}, window_days: 8}}
stages:
  features: {{activity_days: 5, affinity_days: 6, popularity_days: 6}}
  embeddings: {{factors: 8, iterations: 6, regularization: 0.5}}
  training_set: {{label_days: 2}}
  model: {{num_leaves: 7, num_trees: 20, learning_rate: 0.15, min_data_in_leaf: 5}}
  evaluation: {{days: 2, bootstrap: 100}}
  predictions: {{candidates: 30, top_n: 10}}
delivery: {{partitions: {PARTS}}}
release: {{cycle: manual}}
"""


class TinyPipeline(SourceRecommendation):
    """The pipeline with the few features that the tiny world has."""

    def layout(self) -> FeatureLayout:
        similar = [name for model in ("cosine", "ease") for name in neighbour_features(model)]
        return FeatureLayout(
            LAYOUT.user, LAYOUT.source, LAYOUT.pair, LAYOUT.absent, (*LAYOUT.cross, *similar, BLEND_SCORE)
        )


@dataclass
class Registry:
    """What a registry would have been told."""

    versions: list[Trained] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[f"{name} {alias}"] = version

    def register(self, trained: Trained) -> Registered:
        self.versions.append(trained)
        return Registered(len(self.versions), f"run-{len(self.versions)}")


@dataclass
class Chain:
    """A project over a tiny world, and what its registry heard."""

    root: Path
    world: TinyWorld
    registry: Registry = field(default_factory=Registry)
    yaml: str = EXPERIMENT_YAML

    def pipeline(self, gate: str = "{}") -> TinyPipeline:
        """The experiment with another gate."""
        write(self.root, f"configs/experiments/{EXPERIMENT}.yml", self.yaml + f"gate: {gate}\n")
        with pytest.MonkeyPatch.context() as patch:
            for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
                patch.delenv(name, raising=False)
            return TinyPipeline(load_project(self.root), EXPERIMENT, self.world.lake)

    def train(self, gate: str = "{}") -> Evaluated:
        """Embeddings to evaluation, everything anew."""
        return train(self.pipeline(gate), self.registry)

    def promote(self, gate: str = "{}") -> Manifest:
        """The gate."""
        return promote(self.pipeline(gate), self.registry, self.registry.register, dagster_run_id="a-run")

    def subscribe_everybody(self, dts: list[str]) -> None:
        """On these days everybody is subscribed to everything: nothing new is left to find."""
        users, sources = np.repeat(USER_IDS, len(SOURCE_IDS)), np.tile(SOURCE_IDS, len(USER_IDS))
        for dt in dts:
            table = with_part(pa.table({c.USER_ID: users, c.SOURCE_ID: sources}))
            self.world.lake.write(DATASET, c.SUBSCRIPTIONS, dt, table, sort_by=[c.USER_ID, c.SOURCE_ID], by_part=True)

    def copied(self, folder: Path) -> "Chain":
        """The same in another folder."""
        shutil.copytree(self.root.parent, folder, dirs_exist_ok=True)
        registry = Registry(list(self.registry.versions), dict(self.registry.aliases))
        return Chain(folder / "project", TinyWorld(Lake(folder / "lake"), self.world.events), registry, self.yaml)


def train(pipeline: SourceRecommendation, registry: Registry) -> Evaluated:
    """Embeddings to evaluation of a pipeline whose features are there."""
    fit_cuts(pipeline, no_session, progress=print_nothing)
    assemble_training_set(pipeline, progress=print_nothing)
    train_model(pipeline, registry.register, dagster_run_id="a-run", progress=print_nothing)
    return evaluate_model(pipeline, no_session, progress=print_nothing)[1]


def make_chain(folder: Path) -> Chain:
    """A project in a git tree, with a world of its own."""
    root = folder / "project"
    write(root, "configs/base.yml", BASE)
    write(root, "configs/environments/local.yml", "environment: local\n")
    write(root, f"configs/datasets/{DATASET}.yml", DATASET_YAML)
    write(root, ".gitignore", ".ok_ml\n")
    shutil.copy(ROOT / "requirements.lock", root / "requirements.lock")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "A tiny world"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], cwd=root, check=True)
    return Chain(root, build_world(folder))


def print_nothing(_text: str) -> None:
    """No progress."""


def no_session() -> Any:
    """The implicit engine asks for none."""
    raise AssertionError(c.EMBEDDINGS)
