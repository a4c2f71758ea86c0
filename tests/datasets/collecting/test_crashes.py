"""Ended before or after every single change that it makes on the disk, a collector loses nothing and doubles nothing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ok_ml.datasets.collecting.staging import Staging
from ok_ml.lake import Lake
from tests.datasets.collecting.feed import PARTS, committed, expected
from tests.datasets.collecting.in_memory import SENT, MadeOf, work

CHANGES = ("fsync", "replace", "unlink", "link", "mkdir", "rmdir")


class Killed(BaseException):
    """The process is gone: nothing that it does afterwards reaches the disk."""


def fuse(monkeypatch: pytest.MonkeyPatch, changes: int, *, after: bool) -> list[int]:
    """Let the process be killed at a change of the disk; returns a list whose length is the number of changes so far."""
    made: list[int] = []

    def wrap(genuine: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **more: Any) -> Any:
            if len(made) >= changes and not (after and len(made) == changes):
                raise Killed
            made.append(0)
            result = genuine(*arguments, **more)
            if after and len(made) > changes:
                raise Killed
            return result

        return change

    for name in CHANGES:
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    monkeypatch.setattr(shutil, "rmtree", wrap(shutil.rmtree))
    return made


def survives(monkeypatch: pytest.MonkeyPatch, made_of: "MadeOf", root: Path, changes: int, *, after: bool) -> bool:
    """Kill a collector at one change, let another one finish, compare; False if it ended before that change."""
    lake = Lake(root / f"{changes}-{after}")
    killed = False
    with monkeypatch.context() as patch:
        log = made_of(SENT, changes)
        fuse(patch, changes, after=after)
        try:
            work(log, lake)
        except Killed:
            killed = True
    done = work(made_of(SENT, changes + 1), lake)
    assert done.checkpoint.messages == len(SENT), "none is read twice, none is left out"
    assert not list(done.staging.folder.glob("*/.*")), "what was half written is removed"
    assert committed(lake) == expected(SENT)
    aside = list(Staging(lake, "stream", PARTS).set_aside())
    assert len(aside) == 1
    shutil.rmtree(lake.root)
    return killed


def test_killed_at_any_change_of_the_disk_it_goes_on_where_it_was(made_of, monkeypatch, tmp_path):
    """Every twentieth change here; every one in the full suite."""
    points = 0
    while survives(monkeypatch, made_of, tmp_path, points * 20, after=bool(points % 2)):
        points += 1
    assert points > 5


@pytest.mark.full
def test_killed_at_every_change_of_the_disk_it_goes_on_where_it_was(made_of, monkeypatch, tmp_path):
    for after in (False, True):
        points = 0
        while survives(monkeypatch, made_of, tmp_path, points, after=after):
            points += 1
        assert points > 90
