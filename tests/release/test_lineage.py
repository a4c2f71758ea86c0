"""Lineage: what git and the lock file say, and what is missing."""

import json
import subprocess

import pytest

from ok_ml.release.gate.lineage import Lineage, collect_lineage, git_state, hash_of, lock_hash


@pytest.fixture
def tree(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "first")
    return tmp_path


def collected(root):
    return collect_lineage(
        root,
        config_hash="c0",
        dataset_versions={"ok_world/events/2018-02-07": "d0"},
        dagster_run_id="r0",
        seed=7,
        threads=2,
    )


def test_a_clean_tree_is_complete(tree):
    lineage = collected(tree)
    head = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (lineage.git_commit, lineage.git_dirty) == (head, False)
    assert lineage.missing() == []
    assert lineage.lock_hash == lock_hash(tree)
    assert lineage.machine["cpu_count"] >= 1
    json.dumps(lineage.as_dict(), allow_nan=False)


@pytest.mark.parametrize("name", ["requirements.lock", "new_module.py"])
def test_changed_and_new_files_make_a_tree_dirty(tree, name):
    (tree / name).write_text("x = 1\n")
    assert git_state(tree)[1] is True
    assert collected(tree).missing() == []


def test_a_folder_that_is_no_tree_lacks_commit_and_lock(tmp_path):
    assert git_state(tmp_path) == ("", None)
    assert collected(tmp_path).missing() == ["git_commit", "git_dirty", "lock_hash"]


def test_seed_zero_is_known_and_nothing_is_missing_by_accident():
    assert "seed" not in Lineage(seed=0).missing()
    assert "git_dirty" not in Lineage(git_dirty=False).missing()
    assert len(Lineage().missing()) == 8


def test_the_hash_of_a_mapping_ignores_the_order_of_its_keys():
    assert hash_of({"a": 1, "b": {"c": 2, "d": 3}}) == hash_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})


def test_code_of_the_project_is_named_by_its_hash_and_must_be_kept_by_git(tree):
    (tree / "idea.py").write_text("X = 1\n")
    (tree / ".gitignore").write_text("idea.py\n")
    subprocess.run(["git", "-C", str(tree), "add", "."], check=True)
    subprocess.run(
        ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "2"],
        check=True,
    )
    settings = {"config_hash": "c", "dataset_versions": {"a": "b"}, "dagster_run_id": "r", "seed": 1, "threads": 1}
    kept = collect_lineage(tree, **settings, extensions={"lock:X": "e0"}, files=[tree / "requirements.lock"])
    ignored = collect_lineage(tree, **settings, extensions={"idea.py:X": "e1"}, files=[tree / "idea.py"])
    assert (kept.git_dirty, ignored.git_dirty) == (False, True)
    assert kept.as_dict()["extensions"] == {"lock:X": "e0"}
    assert kept.missing() == []


def test_a_record_from_before_extensions_keeps_its_signature(tree):
    assert "extensions" not in collected(tree).as_dict()
