"""Logs that nobody prepared, through the whole system: OK's published schema, and a CSV full of dirt."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ok_ml.lake import Lake
from tests.pipelines.own_logs import DAYS, GROUPS, SPECIAL, likes, user_id, write_dirty, write_sna
from tests.pipelines.world_project import environment, ok_ml
from tests.small_project import ROOT, edit, write

pytestmark = [pytest.mark.full, pytest.mark.spark]
SNA = "sna_hackathon_2019"
BROKER_PORT, CONTROLLER_PORT = 29640, 29641

DIRTY_DATASET = """\
    dataset: dirty
    description: A log with everything that goes wrong.
    owners: [data@example.org]
    events:
      path: log.csv
      format: csv
      delimiter: ";"
      columns: {user_id: who, source_id: group, item_id: post, event_type: did}
      time: {columns: [when], format: "%d.%m.%Y %H:%M:%S", timezone: Europe/Moscow, min_date: "1970-01-01"}
      event_types: {shown: impression, liked: like}
    sources: {path: groups.csv, format: csv, columns: {source_id: id, name: title, topic: topic}}
    has_impressions: true
    weights: {like: 2}
    grades: {like: 2}
"""
EXPERIMENT = """\
    experiment: dirty
    pipeline_type: source_recommendation
    owners: [data@example.org]
    datasets:
      events: {name: dirty, window_days: 8}
    stages:
      features: {activity_days: 5, affinity_days: 6, popularity_days: 6}
      embeddings: {factors: 16}
      training_set: {label_days: 2}
      model: {num_leaves: 15, num_trees: 40, min_data_in_leaf: 20}
      evaluation: {days: 2}
      predictions: {candidates: 50, top_n: 20}
    gate: {floor_over_popularity: 0.5}
    checks: {drift: {psi_warn: 1, psi_block: 10}}
    release: {cycle: manual}
"""


def make_project(root: Path) -> Path:
    for name in ("configs/base.yml", "configs/environments/local.yml", "requirements.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    edit(root, "configs/base.yml", "127.0.0.1:19092", f"127.0.0.1:{BROKER_PORT}")
    edit(root, "configs/base.yml", "controller_port: 19093", f"controller_port: {CONTROLLER_PORT}")
    return root


def commit(root: Path) -> None:
    """Lineage asks for a clean tree; the log itself is data."""
    for arguments in (["init", "-q"], ["add", "configs", "requirements.lock"], ["commit", "-qm", "Somebody's own log"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], cwd=root, check=True)


def test_the_published_feed_log_is_learnt_from_and_beats_popularity(tmp_path: Path) -> None:
    root, state = make_project(tmp_path / "project"), tmp_path / "state"
    for kind in ("datasets", "experiments"):
        (root / f"configs/{kind}").mkdir()
        shutil.copy(ROOT / f"configs/{kind}/{SNA}.yml", root / f"configs/{kind}/{SNA}.yml")
    edit(root, f"configs/experiments/{SNA}.yml", "factors: 64", "factors: 16")
    commit(root)
    code = (
        "from ok_ml.cli.runs.run_pipeline import run; from ok_ml.config.loader import load_project; import json, sys;"
        f"summary = run(load_project(), {SNA!r}, quiet=True, publish=False); print(json.dumps(summary.as_json()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment(state, SNA_DIR=str(write_sna(tmp_path / "sna"))),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    scores = {(row["metric"], row["model"]): row["estimate"] for row in summary["comparison"] if row["kind"] == "score"}
    assert scores["ndcg@10", "two_stage"] > 1.2 * scores["ndcg@10", "popularity"]
    lake = Lake(state / "lake")
    dts = lake.partitions(SNA, "events")
    assert len(dts) == DAYS
    events = lake.read(SNA, "events", dts, columns=["user_id", "source_id", "event_type"])
    counted = Counter(events["event_type"].to_pylist())
    assert counted["like"] == counted["click"] > 0.1 * counted["impression"]
    members = lake.read(SNA, "subscriptions", [dts[-1]], columns=["user_id", "source_id"]).to_pylist()
    assert all(likes(row["user_id"], row["source_id"] - 5_000) and row["source_id"] < 5_010 for row in members)


@pytest.mark.kafka
def test_a_dirty_log_goes_to_what_is_served(tmp_path: Path) -> None:
    root, state = make_project(tmp_path / "project"), tmp_path / "state"
    write(root, "configs/datasets/dirty.yml", DIRTY_DATASET)
    write(root, "configs/experiments/dirty.yml", EXPERIMENT)
    (root / ".gitignore").write_text("*.csv\n.gitignore\n")
    dirt = write_dirty(root)
    commit(root)
    checked = ok_ml(root, state, "data", "check", "dirty", "--json")
    assert checked.code == 0, checked.err
    assert checked.json["set_aside"] == dirt
    assert (checked.json["duplicates"], checked.json["largest_user"]["user_id"]) == (50, str(user_id(299)))
    assert checked.json["largest_user"]["share"] > 0.09
    run = ok_ml(root, state, "run", "dirty", "--json")
    assert run.code == 0, run.err
    rejected = Counter[str]()
    lake = Lake(state / "lake")
    for dt in lake.partitions("dirty", "events"):
        rejected.update(lake.manifest("dirty", "events", dt).details["rejected"])
    assert rejected == dirt
    for user in SPECIAL.values():
        served = ok_ml(root, state, "get", "dirty", str(user), "--json")
        assert served.code == 0, served.err
        assert (served.json["known"], served.json["entity_id"]) == (True, str(user))
        names = [source["name"] for source in served.json["sources"]]
        assert len(names) == 20
        assert all(0 < len(name) <= 200 and name.isprintable() for name in names)
    assert {int(source["source_id"]) for source in served.json["sources"]} <= set(range(GROUPS))
