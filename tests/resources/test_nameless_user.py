"""A container's user without an entry in the list of users: Spark starts, whatever HOME says."""

import os

import pytest

from ok_ml.machine.current_user import name_of_user
from ok_ml.machine.java import java_option, utf8_locale
from tests.machine.test_writable import as_another_user, as_user

_SPARK = """
import tempfile
from pathlib import Path
from ok_ml.config.models import SparkConfig
from ok_ml.resources.spark import open_spark
from ok_ml.machine.current_user import has_entry, name_of_user
folder = Path(tempfile.mkdtemp()) / "a b"
session = open_spark(SparkConfig(master="local[1]", driver_memory="512m", shuffle_partitions=1), folder)
count = session.range(0, 10, 1, 1).mapInArrow(lambda batches: batches, "id long").count()
print(has_entry(), name_of_user(), session.sparkContext.sparkUser(), count)
session.stop()
"""


@as_another_user
@pytest.mark.spark
def test_a_session_starts_for_a_user_by_number() -> None:
    told = as_user(_SPARK, may="dac_override", HOME="/", OK_ML_CACHE="/nonexistent").splitlines()[-1]
    assert told == "False uid-12345 uid-12345 10"


@as_another_user
def test_a_name_in_the_environment_is_taken() -> None:
    code = "from ok_ml.machine.current_user import *; settle_names(); import getpass; print(getpass.getuser())"
    assert as_user(code) == "uid-12345\n"
    assert as_user(code, LOGNAME="anna") == "anna\n"


def test_this_user_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("getpwuid(): uid not found")))
    assert name_of_user() == f"uid-{os.getuid()}"


@pytest.mark.parametrize(
    ("option", "shown"),
    [("-Da=b", "-Da=b"), ("-Da=/x y", '"-Da=/x y"'), ('-Da=/x"y', '"-Da=/x\\"y"'), ("-Da=/x\\y", '"-Da=/x\\\\y"')],
)
def test_an_option_survives_the_splitting_of_a_line(option: str, shown: str) -> None:
    import shlex

    assert java_option(option) == shown
    assert shlex.split(shown) == [option]


def test_a_jvm_reads_letters_of_paths_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert utf8_locale() == {"LC_ALL": "C.UTF-8"}
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    assert utf8_locale() == {}
    monkeypatch.setenv("LC_ALL", "C")
    assert utf8_locale() == {"LC_ALL": "C.UTF-8"}
