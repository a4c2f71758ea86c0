"""A small project folder for tests of configuration and commands: one dataset, one experiment, two sizes."""

from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[1]

BASE = """\
state_dir: .ok_ml
lake: {uri: "${state}/lake"}
spark: {master: "local[1]"}
kafka: {mode: embedded, bootstrap_servers: 127.0.0.1:21311, controller_port: 21312}
storage: {backend: lmdb, path: "${state}/storage"}
mlflow: {tracking_uri: "sqlite:///${state}/mlflow.db", artifact_root: "${state}/artifacts", port: 21313}
dagster: {home: "${state}/dagster", port: 21314}
service: {port: 21315}
"""

DATASET = """\
dataset: toy
description: A toy log.
owners: [data@example.org]
parts: 4
events:
  path: toy/events.parquet
  columns: {user_id: u, source_id: s, item_id: i, event_type: e}
  time: {columns: [t], format: epoch_ms}
  event_types: {seen: impression, liked: like}
has_impressions: true
weights: {like: 1.0, comment: 2.5}
grades: {like: 2, comment: 3}
sizes:
  tiny:
    freshness_hours: 48
"""

EXPERIMENT = """\
experiment: toy_sources
pipeline_type: source_recommendation
owners: [discovery@example.org]
datasets:
  events: {name: toy, window_days: 28}
stages:
  features: {activity_days: 10, affinity_days: 9, popularity_days: 14}
  model:
    num_trees: 150
    learning_rate: 0.07
  predictions: {candidates: 200, top_n: 50}
delivery:
  partitions: 4
release: {cycle: manual}
sizes:
  tiny:
    stages:
      model: {num_trees: 60}
"""


def make_project(root: Path) -> Path:
    """Write the whole project below `root` and return it."""
    files = {
        "configs/base.yml": BASE,
        "configs/environments/local.yml": "environment: local\nservice: {workers: 2}\n",
        "configs/datasets/toy.yml": DATASET,
        "configs/experiments/toy_sources.yml": EXPERIMENT,
    }
    for name, text in files.items():
        write(root, name, text)
    return root


def write(root: Path, name: str, text: str) -> None:
    """Replace one file."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")


def edit(root: Path, name: str, old: str, new: str) -> None:
    """Replace one passage of one file; it must be there exactly once."""
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
    path.write_text(text.replace(old, new), encoding="utf-8")
