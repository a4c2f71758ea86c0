"""Commands beside one another on one state folder: each works, waits, or says who does."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.errors import EnvironmentFault
from ok_ml.lake import WHOLE, Lake
from ok_ml.local.services.work_locks import alone_with, one_at_a_time
from ok_ml.machine.locks import lock_path
from ok_ml.release.publishing import overtaking_generation, publish_overtaken
from ok_ml.stages.opening import open_pipeline
from tests.cli.published import publish
from tests.cli.test_status import DEFINITIONS
from tests.machine.test_locks import Process

Ok = Callable[..., "object"]


@pytest.fixture
def at_work(root: Path) -> Iterator[Process]:
    """Another process that runs the experiment."""
    other = Process(lock_path(root / ".ok_ml", "toy_sources"), "ok-ml run toy_sources")
    assert other.says() == "holds"
    yield other
    if other.run.poll() is None:
        other.end()


def test_a_second_run_says_who_works_and_which_command_goes_on(root: Path, at_work: Process) -> None:
    command = [sys.executable, "-c", "from ok_ml.cli.main import entry; entry()", "run", "toy_sources", "--force"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OK_ML")}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
    assert f"`ok-ml run toy_sources` (pid {at_work.run.pid}, since " in done.stderr
    assert "is at work on toy_sources" in done.stderr
    assert "run toy_sources --force --wait` continues once it is done" in done.stderr
    assert f"`kill {at_work.run.pid}`" in done.stderr
    assert len(done.stderr.splitlines()) <= 6


def test_the_lock_of_a_killed_run_keeps_nobody_out(root: Path, at_work: Process) -> None:
    project = load_project(root)
    at_work.end(9)
    with alone_with(project, "toy_sources"):
        pass


def test_with_wait_it_goes_on_when_the_other_one_is_done(root: Path, at_work: Process) -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        at_work.end()

    with alone_with(load_project(root), "toy_sources", wait=True, say=say):
        assert at_work.run.poll() == 0
    assert len(said) == 1
    assert "waiting    for `ok-ml run toy_sources`" in said[0]


def test_runs_of_two_experiments_take_turns_at_the_dataset_and_attempts_are_beside_production(
    root: Path, at_work: Process
) -> None:
    project, said = load_project(root), []
    with alone_with(project, "toy_sources", attempts=True), one_at_a_time(project, "toy", said.append):
        other = Process(lock_path(project.state_dir, "toy"), "ok-ml run other")
        assert other.says().startswith("waits for ")
        with pytest.raises(EnvironmentFault, match="attempts of toy_sources"), _elsewhere(project.state_dir):
            pass
    assert said == []
    assert other.says() == "holds"
    other.end()


def _elsewhere(state_dir: Path) -> "_Raised":
    return _Raised(state_dir)


class _Raised:
    """Another process that wants the attempts; its error is raised here."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir.parent

    def __enter__(self) -> None:
        code = (
            "from pathlib import Path; from ok_ml.config.loader import load_project; from ok_ml.local.services.work_locks import alone_with\n"
            f"with alone_with(load_project(Path({str(self.root)!r})), 'toy_sources', attempts=True): pass"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise EnvironmentFault(done.stderr)

    def __exit__(self, *_exc: object) -> None: ...


def test_nothing_is_removed_under_a_command_that_works(ok: Ok, root: Path, at_work: Process) -> None:
    shown = ok("clean", "--yes")
    assert shown.code == 3
    assert f"(pid {at_work.run.pid}" in shown.err
    assert (root / ".ok_ml").is_dir()
    at_work.end()
    assert ok("clean", "--yes").code == 0
    assert not (root / ".ok_ml").exists()


# -- a publication that was overtaken --------------------------------------------------------------------------------------


def on_record(root: Path, generation: int) -> None:
    lake = Lake(load_project(root).lake_root)
    with lake.staged("toy_sources", c.PUBLICATION, WHOLE) as folder:
        lake.commit(folder, rows=1, data_version=str(generation), details={"generation": generation})


def test_a_publication_is_overtaken_when_a_newer_generation_is_served(root: Path) -> None:
    pipeline = open_pipeline(load_project(root), "toy_sources")
    assert overtaking_generation(pipeline) is None
    publish(root, 1_767_225_600_953)
    assert overtaking_generation(pipeline) is None  # nothing is on record yet
    for recorded, overtaking in (
        (1_767_225_600_711, 1_767_225_600_953),
        (1_767_225_600_953, None),
        (1_767_225_601_000, None),
    ):
        on_record(root, recorded)
        assert overtaking_generation(pipeline) == overtaking


def test_an_overtaken_one_is_published_again_and_another_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    monkeypatch.setattr("ok_ml.release.publishing.publish", lambda *_args, progress: published.append("again"))
    pipeline, said = open_pipeline(load_project(root), "toy_sources"), []
    publish(root, 1_767_225_600_953)
    on_record(root, 1_767_225_600_953)
    publish_overtaken(pipeline, progress=said.append)
    assert published == []
    on_record(root, 1_767_225_600_711)
    publish_overtaken(pipeline, progress=said.append)
    assert published == ["again"]
    assert "is served, newer than what is on record: publishing again" in said[0]


def test_a_check_that_was_planned_by_a_run_that_ended_is_not_being_evaluated(tmp_path: Path) -> None:
    from ok_ml.cli.runs.status_report import _Reading, _rows

    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        job = DEFINITIONS.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance).success
        planned = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        key = dg.AssetCheckKey(dg.AssetKey(["toy", "events"]), "volume")
        plan = dg.DagsterEvent(
            "ASSET_CHECK_EVALUATION_PLANNED",
            job_name=planned.job_name,
            event_specific_data=_planned(key),
        )
        instance.report_dagster_event(plan, planned.run_id)

        def told() -> tuple[str, str]:
            row = next(row for row in _rows(_Reading(instance, DEFINITIONS)) if row.name == "toy/events")
            return row.state, row.message

        assert told() == ("unknown", "volume: being evaluated")
        instance.report_run_failed(instance.get_run_by_id(planned.run_id))
        assert told()[0] == "warn"
        assert "never evaluated: its run has ended" in told()[1]


def _planned(key: dg.AssetCheckKey) -> object:
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned

    return AssetCheckEvaluationPlanned(asset_key=key.asset_key, check_name=key.name)
