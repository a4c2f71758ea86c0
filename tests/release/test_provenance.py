"""What a promotion needs is asked for before the work; where it may be missing, the record says so and stays verifiable."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ok_ml.errors import EnvironmentFault, GateRefused
from ok_ml.release.gate.lineage import Lineage, collect_lineage, git_trouble, require_provenance
from ok_ml.release.gate.promotion_record import Decision, PromotionRecord, promote, verify

KEY = b"k" * 32


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "base.yml").write_text("state_dir: .ok_ml\n")
    (folder / "requirements.lock").write_text("alpha==1.0\n")
    return folder


def lineage(folder: Path, *, without_git: bool) -> Lineage:
    return collect_lineage(
        folder,
        config_hash="c",
        dataset_versions={"d/events/1": "v"},
        dagster_run_id="r",
        seed=1,
        threads=1,
        without_git=without_git,
    )


def record_of(found: Lineage) -> PromotionRecord:
    return PromotionRecord("toy", "1", "a" * 64, {}, None, {}, Decision(True, ()), found, bundle_sha256="b")


def test_each_trouble_with_git_has_its_own_words_and_remedy(tree: Path) -> None:
    trouble = git_trouble(tree)
    assert trouble is not None
    assert trouble.problem == f"{tree} is no git repository"
    assert f"git init '{tree}'" in trouble.remedy
    assert ".gitignore" in trouble.remedy  # or the state would be committed
    git(tree, "init", "-q")
    trouble = git_trouble(tree)
    assert trouble is not None
    assert trouble.problem == f"the git repository of {tree} has no commit yet"
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "x")
    assert git_trouble(tree) is None
    assert require_provenance(tree, strict=True) == ""


def test_a_tree_of_another_user_is_told_with_git_s_own_advice(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "x")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    trouble = git_trouble(tree)
    assert trouble is not None
    assert "dubious ownership" in trouble.problem
    assert "is no git repository" not in trouble.problem
    assert trouble.remedy.startswith("git config --global --add safe.directory ")
    assert str(tree) in trouble.remedy


def test_no_git_program(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    trouble = git_trouble(tree)
    assert trouble is not None
    assert trouble.remedy == "apt-get install git"
    assert "git does not run" in require_provenance(tree, strict=False)


def test_elsewhere_it_is_refused_before_the_work(tree: Path) -> None:
    with pytest.raises(EnvironmentFault, match="is no git repository") as caught:
        require_provenance(tree, strict=True)
    assert "computed in vain" in str(caught.value)
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "x")
    (tree / "new.txt").write_text("")
    with pytest.raises(EnvironmentFault, match="uncommitted changes"):
        require_provenance(tree, strict=True)
    (tree / "new.txt").unlink()
    (tree / "requirements.lock").unlink()
    git(tree, "commit", "-qam", "y")
    with pytest.raises(EnvironmentFault, match=r"has no requirements\.lock"):
        require_provenance(tree, strict=True)
    assert "the model's record will say so" in require_provenance(tree, strict=False)


def test_a_folder_without_git_is_promoted_where_that_is_allowed_and_the_record_says_so(tree: Path) -> None:
    (tree / "requirements.lock").unlink()
    found = lineage(tree, without_git=True)
    assert (found.git_commit, found.git_dirty) == ("none", None)
    assert len(found.code_hash) == 64
    assert found.lock_hash.startswith("installed:")
    signed = promote(record_of(found), KEY, require_clean_tree=False)
    assert signed.notes == (
        f"git: none; the code and the configuration that made this model have SHA-256 {found.code_hash}",
    )
    verify(PromotionRecord.from_json(signed.to_json()), KEY, "a" * 64, experiment="toy")
    with pytest.raises(GateRefused):
        promote(record_of(found), KEY, require_clean_tree=True)
    with pytest.raises(GateRefused, match="git_commit, git_dirty, lock_hash not recorded"):
        promote(record_of(lineage(tree, without_git=False)), KEY, require_clean_tree=False)


def test_the_hash_follows_the_configuration_and_not_the_place(tree: Path, tmp_path: Path) -> None:
    first = lineage(tree, without_git=True).code_hash
    moved = tmp_path / "elsewhere"
    tree.rename(moved)
    assert lineage(moved, without_git=True).code_hash == first
    (moved / "configs" / "base.yml").write_text("state_dir: other\n")
    assert lineage(moved, without_git=True).code_hash != first


def test_records_of_before_are_signed_as_they_were() -> None:
    old = Lineage("a", False, "c", {"d": "v"}, "r", 1, 1, "l")
    assert "code_hash" not in old.as_dict()
    assert "code_hash" in replace(old, code_hash="x").as_dict()
