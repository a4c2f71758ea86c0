"""Folders that cannot be written: what is said, and that no remedy names more than the one folder of ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ok_ml.errors import EnvironmentFault, may_pass, write_fault
from ok_ml.machine.writable import remedy, require_writable, untellable, unwritable

as_another_user = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="only root can become a user without an entry (setpriv)"
)


def as_user(code: str, *, may: str = "dac_read_search", **environment: str) -> str:
    """Run Python as user 12345, who has no entry in the list of users; what it prints.

    `may` is a capability: it stands for an installation that every user may read.
    """
    drop = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--inh-caps", f"+{may}"]
    command = [*drop, "--ambient-caps", f"+{may}", sys.executable, "-c", code]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables | environment, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


_ASK = "from pathlib import Path; from ok_ml.machine.writable import *; f = Path({!r}); print(unwritable(f)); print(remedy(f, 'OK_ML_STATE'))"


@as_another_user
@pytest.mark.parametrize("folder", ["/var/lib/ok-ml", "/data-of-ours/ok-ml/state", "/srv/мои данные #1/ok"])
def test_a_folder_that_is_not_there_yet_is_made_and_nothing_above_it_changes_hands(folder: str) -> None:
    problem, remedy = as_user(_ASK.format(folder)).splitlines()
    assert "cannot be written (it belongs to user 0, this is user 12345)" in problem
    quoted = f"'{folder}'" if " " in folder else folder
    assert remedy == f'sudo install -d -o "$(id -u)" {quoted}, or set OK_ML_STATE to a folder of yours'


@as_another_user
def test_a_state_folder_of_another_user_is_named_and_what_is_no_state_is_not_taken_over(tmp_path: Path) -> None:
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):  # pytest's own, which nobody else may enter
            parent.chmod(0o755)
    tmp_path.chmod(0o755)
    state, other = tmp_path / "state", tmp_path / "precious"
    (state / "dagster").mkdir(parents=True)
    other.mkdir()
    problem, remedy = as_user(_ASK.format(str(state))).splitlines()
    assert str(state) in problem
    assert remedy.startswith(f'sudo chown -R "$(id -u)" {state},')
    assert "chown" not in as_user(_ASK.format(str(other)))
    state.chmod(0o777)  # begun as root once: the folder itself can be written, what is in it cannot
    assert as_user(_ASK.format(str(state))).startswith(f"{state / 'dagster'} cannot be written")


@pytest.mark.parametrize("folder", ["/", str(Path.home())])
def test_no_command_is_ever_given_for_a_root_or_a_home(folder: str) -> None:
    assert remedy(Path(folder), "OK_ML_CACHE") == "set OK_ML_CACHE to a folder of yours"


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(EnvironmentFault, match=r"the state folder: .*cannot be written: it is no folder") as caught:
        require_writable(tmp_path / "state" / "deeper", "the state folder", "OK_ML_STATE")
    assert "sudo" not in remedy(tmp_path / "state", "OK_ML_STATE")
    assert caught.value.exit_code == 3


def test_asking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a" / "b") is None
    assert list(tmp_path.iterdir()) == []
    require_writable(tmp_path / "a", "the state folder", "OK_ML_STATE")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


@pytest.mark.parametrize(
    ("name", "letter"), [("a?b", "?"), ("a*", "*"), ("a[1]", "["), ("a\nb", r"U\+000A"), ("a\tb", r"U\+0009")]
)
def test_a_path_that_other_programs_would_misread_is_refused_with_the_letter(
    tmp_path: Path, name: str, letter: str
) -> None:
    with pytest.raises(EnvironmentFault, match=letter if letter.startswith("U") else f"holds \\{letter}"):
        require_writable(tmp_path / name, "the state folder", "OK_ML_STATE")


@pytest.mark.parametrize("name", ["данные 2 #x%20", "a b", "a'b", 'a"b', "a,b", "a:b=c", "a\\b", "a$HOME", "%41", "é"])
def test_other_letters_are_no_reason_to_refuse(name: str) -> None:
    assert untellable(Path("/x") / name) is None


def test_what_databases_and_files_say_becomes_a_fault_of_the_machine() -> None:
    import sqlite3

    readonly = sqlite3.OperationalError("attempt to write a readonly database")
    wrapped = RuntimeError("while writing")
    wrapped.__cause__ = PermissionError(13, "Permission denied", "/proc/1/x")
    full = sqlite3.OperationalError("database or disk is full")
    said = [write_fault(error) for error in (readonly, wrapped, full, OSError(122, "Disk quota exceeded"))]
    assert all(fault is not None and fault.exit_code == 3 for fault in said)
    assert "belongs to user" in said[1].problem
    assert "no room on the disk" in said[2].problem
    assert write_fault(OSError(30, "Read-only file system", "/usr/x")) is not None
    assert write_fault(ValueError("attempt to write a readonly database")) is None
    assert write_fault(FileNotFoundError(2, "No such file", "/x")) is None


def test_only_what_may_pass_is_called_so() -> None:
    import sqlite3

    assert may_pass(ConnectionResetError())
    assert may_pass(sqlite3.OperationalError("database is locked"))
    assert not may_pass(sqlite3.OperationalError("no such table"))
    assert not may_pass(ValueError("x"))
