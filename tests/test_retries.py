"""Transient faults are tried again within a Dagster run, permanent ones and mistakes are not."""

from pathlib import Path

import dagster as dg
import pytest

from ok_ml.config.loader import load_project
from ok_ml.definitions import build_definitions
from ok_ml.errors import DataError, ServiceUnavailable
from ok_ml.graph import dagster_io
from ok_ml.graph.dagster_io import RETRIES, failures
from tests.small_project import make_project


def tries(errors: list[Exception]) -> tuple[bool, int]:
    """(success, attempts) of an asset that raises these errors, one a try, and then works; the pauses are short."""
    left, count = list(errors), []

    @dg.asset(retry_policy=RETRIES._replace(delay=0.01))
    def one() -> None:
        count.append(1)
        with failures():
            if left:
                raise left.pop(0)

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([one], instance=instance, raise_on_error=False)
    return result.success, len(count)


def test_a_hiccup_costs_a_try_and_not_the_day() -> None:
    assert tries([ServiceUnavailable("no Kafka")]) == (True, 2)
    assert tries([ConnectionRefusedError(111, "refused")]) == (True, 2)


def test_tries_are_bounded() -> None:
    assert tries([ServiceUnavailable("no Kafka")] * 9) == (False, 1 + RETRIES.max_retries)


@pytest.mark.parametrize("error", [DataError("bad"), ValueError("a mistake"), PermissionError(13, "denied", "/x")])
def test_what_fails_again_is_not_tried_again(error: Exception) -> None:
    assert tries([error]) == (False, 1)


def test_every_asset_of_the_graph_has_the_policy(tmp_path: Path) -> None:
    definitions = build_definitions(load_project(make_project(tmp_path)))
    graph = definitions.resolve_asset_graph()
    without = []
    for key in graph.materializable_asset_keys:
        op = graph.assets_def_for_key(key).op
        if op.retry_policy is not dagster_io.RETRIES and key.path[-1] != "config":
            without.append(key.to_user_string())
    assert without == []


def test_a_run_of_the_command_line_tries_again_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The headless path: the same graph, in this process, with the progress that `ok-ml run` prints."""
    from ok_ml.cli.runs.dagster_run import Watcher
    from ok_ml.cli.runs.run_report import Reporter

    left = [ServiceUnavailable("no Kafka answers at 127.0.0.1:1")]

    @dg.asset(key=["toy", "events"], retry_policy=dg.RetryPolicy(max_retries=1, delay=0.1))
    def events() -> None:
        with failures():
            if left:
                raise left.pop()

    said: list[str] = []
    reporter = Reporter(quiet=True)
    monkeypatch.setattr(reporter, "say", said.append)
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        job = dg.Definitions(assets=[events]).resolve_implicit_global_asset_job_def()
        run_id = "00000000-0000-0000-0000-000000000001"
        with Watcher(instance, run_id, lambda *_: None, reporter):
            assert job.execute_in_process(instance=instance, run_id=run_id, raise_on_error=False).success
    assert any(line.startswith("again ") and "no Kafka answers" in line for line in said), said
