"""A run that fails, is refused or interrupted: what it says, what stays, and that the next run goes on from there."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from ok_ml import columns as c
from ok_ml.errors import GateRefused, IntegrityError, OkMlError
from ok_ml.monitoring.series.live_history import Served
from ok_ml.ranked_lists.bundles import model_file
from ok_ml.ranked_lists.fits import retrieval_of
from ok_ml.ranked_lists.predicting import predict
from ok_ml.release.gate.promoting import champion_bundle, promote
from ok_ml.release.gate.promotion_record import RECORD_FILE
from ok_ml.release.publishing import publish
from tests.pipelines.conftest import World
from tests.pipelines.world_project import (
    BROKER_PORT,
    CONTROLLER_PORT,
    EXPERIMENT,
    EXPERIMENT_FILE,
    OK_ML,
    Done,
    environment,
)
from tests.small_project import edit

# LightGBM refuses more than 131,072 leaves; the configuration does not know that, so the training itself fails.
TOO_MANY_LEAVES = "num_leaves: 200000"


def mlflow_runs(state: Path) -> Counter[str]:
    with closing(sqlite3.connect(state / "mlflow.db")) as database:
        return Counter(status for (status,) in database.execute("select status from runs"))


def served(world: World) -> dict:
    return world.ok("get", EXPERIMENT, world.first.json["example_user"], "--json").json


def error_lines(done: Done) -> list[str]:
    """What is said after the last line of progress: the error."""
    lines = done.err.splitlines()
    start = max(index for index, line in enumerate(lines) if line.startswith("Error: "))
    assert "Traceback" not in done.err
    assert len(lines) - start <= 6
    return lines[start:]


# -- a model that is not the promoted one -------------------------------------------------------------------------------


def longer_model(bundle: Path) -> None:
    with model_file(bundle).open("a") as file:
        file.write("\n")


def other_recipe(bundle: Path) -> None:
    path = bundle / "retrieval.json"
    path.write_text(path.read_text() + "\n")


def better_metrics(bundle: Path) -> None:
    record = json.loads((bundle / RECORD_FILE).read_text())
    record["metrics"]["ndcg@10"] = 0.99
    (bundle / RECORD_FILE).write_text(json.dumps(record))


def another_record(bundle: Path) -> None:
    (bundle / RECORD_FILE).write_text("{}")


def no_champion(bundle: Path) -> None:
    shutil.rmtree(bundle.parents[1] / "_committed")


TAMPERINGS = [
    (longer_model, IntegrityError, "its promotion record says"),
    (other_recipe, IntegrityError, "a changed model or recipe"),
    (better_metrics, IntegrityError, "signature"),
    (another_record, IntegrityError, "this is not a promotion record"),
    (no_champion, GateRefused, "has no champion"),
]


@pytest.mark.parametrize(("tamper", "error", "message"), TAMPERINGS, ids=[tamper.__name__ for tamper, *_ in TAMPERINGS])
def test_publication_refuses_what_was_not_promoted(
    spare_world: World, tamper, error: type[OkMlError], message: str
) -> None:
    """No broker runs here: the refusal comes before anything is sent."""
    before = served(spare_world)
    tamper(champion_bundle(spare_world.pipeline)[0])
    with pytest.raises(error, match=message):
        publish(spare_world.pipeline, progress=lambda _text: None)
    assert served(spare_world) == before


def other_vectors(fitted: Path) -> None:
    path = fitted / "source_factors.npy"
    raw = bytearray(path.read_bytes())
    raw[-64:] = bytes(64)
    path.write_bytes(raw)


def another_day(fitted: Path) -> None:
    path = fitted / "retrieval_record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dt": "2026-01-01"}))


@pytest.mark.parametrize(
    ("tamper", "message"), [(other_vectors, "changed vectors or popularity"), (another_day, "signature")]
)
def test_no_list_is_made_from_what_was_changed_after_it_was_fitted(spare_world: World, tamper, message: str) -> None:
    pipeline = spare_world.pipeline
    dt = pipeline.calendar().serve_cut
    tamper(retrieval_of(pipeline, dt))
    with pytest.raises(IntegrityError, match=message):
        predict(pipeline, None, progress=lambda _text: None)


def test_no_list_is_made_from_a_fit_of_another_champion(spare_world: World) -> None:
    pipeline, lake = spare_world.pipeline, spare_world.lake
    champion = lake.manifest(pipeline.name, c.CHAMPION)
    with lake.staged(pipeline.name, c.CHAMPION) as folder:
        shutil.copytree(lake.folder(champion), folder, dirs_exist_ok=True)
        lake.commit(folder, rows=1, data_version="another", inputs=champion.inputs, details=champion.details)
    with pytest.raises(GateRefused, match="is not fitted for the present champion"):
        retrieval_of(pipeline, pipeline.calendar().serve_cut)


# -- what nobody judged --------------------------------------------------------------------------------------------------


def test_a_model_is_not_promoted_on_the_metrics_of_another(spare_world: World) -> None:
    lake, name = spare_world.lake, spare_world.pipeline.name
    trained = lake.manifest(name, c.MODEL)
    with lake.staged(name, c.MODEL) as folder:
        shutil.copytree(lake.folder(trained), folder, dirs_exist_ok=True)
        lake.commit(folder, rows=1, data_version="another", inputs=trained.inputs, details=trained.details)
    with pytest.raises(GateRefused, match="the newest evaluation is of another model"):
        promote(spare_world.pipeline, None, None, dagster_run_id="by hand")


def test_predictions_that_fail_their_check_are_not_published_by_a_later_run(spare_world: World) -> None:
    lake, pipeline = spare_world.lake, spare_world.pipeline
    made = lake.manifest(pipeline.name, c.PREDICTIONS, lake.latest(pipeline.name, c.PREDICTIONS))
    with lake.staged(pipeline.name, c.PREDICTIONS, made.partition) as folder:
        shutil.copytree(lake.folder(made), folder, dirs_exist_ok=True)
        shortened = folder / made.files[0]
        pq.write_table(pq.read_table(shortened, partitioning=None).slice(1), shortened)
        lake.commit(folder, rows=made.rows - 1, data_version="short", inputs=made.inputs, details=made.details)
    assert pipeline.is_current(c.PREDICTIONS, made.partition)
    with pytest.raises(GateRefused, match="1 users without a row"):
        publish(pipeline, progress=lambda _text: None)


# -- a gate ------------------------------------------------------------------------------------------------------------


def test_a_blocking_check_stops_the_run_with_its_own_words(spare_world: World) -> None:
    before, pipeline = served(spare_world), spare_world.pipeline
    first = pipeline.committed()[-2]  # as if a generation had been served since the day before, so that a day may block
    with pipeline.lake.staged(EXPERIMENT, c.LIVE_HISTORY, "20200101T000000000000") as folder:
        details = asdict(Served(1, "first", first, 1, "v-1", first))
        pipeline.lake.commit(folder, rows=1, data_version="first", details=details)
    limits = "{psi_warn: 1, psi_block: 10}"
    edit(spare_world.root, EXPERIMENT_FILE, limits, f"{limits}\n  ranges: {{user_events: {{min: 0, max: 1}}}}")
    done = spare_world.ok("run")
    assert (done.code, done.out) == (4, "")
    lines = error_lines(done)
    assert lines[0].startswith(f"Error: {EXPERIMENT}/feature_statistics, check feature_distributions: ")
    assert "user feature user_events" in lines[0]
    assert "expected <= 1" in lines[0]
    assert "the last good generation is still served" in lines[1]
    assert served(spare_world) == before
    with pytest.raises(GateRefused, match="are blocked"):  # nor by a run of the publication alone
        publish(spare_world.pipeline, progress=lambda _text: None)


def test_a_model_that_the_gate_refused_is_promoted_by_hand_with_the_reason_in_its_record(spare_world: World) -> None:
    edit(spare_world.root, EXPERIMENT_FILE, "floor_over_popularity: 1.05", "floor_over_popularity: 1000.0")
    assert spare_world.ok("run").code == 0
    lake, name = spare_world.lake, spare_world.pipeline.name
    assert not lake.manifest(name, c.CHAMPION).details["promoted"]
    day = lake.manifest(name, c.MODEL).details["serve_cut"]
    accepted = spare_world.ok("accept", EXPERIMENT, day, "--model", "--reason", "half of the catalogue is gone")
    assert (accepted.code, "model verdict: 1 findings accepted by" in accepted.out) == (0, True), accepted.err
    assert spare_world.ok("run").code == 0
    record = champion_bundle(spare_world.pipeline)[1]
    assert record.decision.reasons[-1].startswith("promoted by hand: ")
    assert record.decision.reasons[-1].endswith(": half of the catalogue is gone")
    assert record.model_version == str(lake.manifest(name, c.MODEL).details["model_version"])


# -- a training that fails -----------------------------------------------------------------------------------------------


def test_a_failed_training_changes_nothing_and_leaves_nothing_running(spare_world: World) -> None:
    before = served(spare_world)
    edit(spare_world.root, EXPERIMENT_FILE, "num_leaves: 31", TOO_MANY_LEAVES)
    done = spare_world.ok("run")
    assert (done.code, done.out) == (1, "")
    assert error_lines(done)[0].startswith(f"Error: {EXPERIMENT}/model: ")
    assert "num_leaves" in error_lines(done)[0]
    assert mlflow_runs(spare_world.state) == {"FINISHED": 1, "FAILED": 1}
    assert served(spare_world) == before
    edit(spare_world.root, EXPERIMENT_FILE, TOO_MANY_LEAVES, "num_leaves: 31")
    again = spare_world.ok("run", "--json")
    assert (again.code, again.json["stages"]) == (0, [])


@pytest.mark.full
def test_after_a_failed_training_the_next_run_goes_on_where_it_was(spare_world: World) -> None:
    edit(spare_world.root, EXPERIMENT_FILE, "num_leaves: 31", TOO_MANY_LEAVES)
    assert spare_world.ok("run", "--quiet").code == 1
    edit(spare_world.root, EXPERIMENT_FILE, TOO_MANY_LEAVES, "num_leaves: 15")
    done = spare_world.ok("run", "--json")
    assert done.code == 0, done.err
    stages = [row["stage"].split("/")[1] for row in done.json["stages"]]
    made = [stage for stage in stages if not stage.endswith("_statistics")]
    assert made[:3] == ["model", "evaluation", "champion"], "what was there before it failed is made again"
    assert mlflow_runs(spare_world.state) == {"FINISHED": 2, "FAILED": 1}


# -- Ctrl-C --------------------------------------------------------------------------------------------------------------


class Interrupted:
    """A run that gets SIGINT, as from a terminal, when its progress first matches a text."""

    def __init__(self, world: World, text: str, *arguments: str) -> None:
        self.seen: list[str] = []
        command = [OK_ML, "run", *arguments]
        with subprocess.Popen(
            command,
            cwd=world.root,
            env=environment(world.state),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as child:
            self._interrupt_at(child, text)
            self.code = child.wait(timeout=60)
            self.left = psutil.Process(child.pid).children(recursive=True) if psutil.pid_exists(child.pid) else []

    def _interrupt_at(self, child: subprocess.Popen[str], text: str) -> None:
        for line in self._lines(child):
            if text in line:
                time.sleep(0.5)
                self.family = psutil.Process(child.pid).children(recursive=True)
                child.send_signal(signal.SIGINT)
                text = "\0"

    def _lines(self, child: subprocess.Popen[str]) -> Iterator[str]:
        for line in child.stderr:
            self.seen.append(line)
            yield line


@pytest.mark.full
def test_ctrl_c_in_the_training_ends_tidily_and_the_next_run_finishes(spare_world: World) -> None:
    before = served(spare_world)
    edit(spare_world.root, EXPERIMENT_FILE, "model: {num_trees: 60}", "model: {num_trees: 61}")
    stopped = Interrupted(spare_world, "Starting a new mlflow run")
    assert stopped.code == 130, "".join(stopped.seen)
    assert "Interrupted. What was committed stays" in "".join(stopped.seen)
    assert "Traceback" not in "".join(stopped.seen)
    assert mlflow_runs(spare_world.state) == {"FINISHED": 1, "KILLED": 1}
    assert [
        process for process in stopped.family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ] == []
    assert served(spare_world) == before
    done = spare_world.ok("run", "--json")
    assert done.code == 0, done.err
    assert done.json["model_version"] == 2
    assert mlflow_runs(spare_world.state) == {"FINISHED": 2, "KILLED": 1}


# -- what the machine does not offer ---------------------------------------------------------------------------------------


@pytest.fixture
def unserved_world(spare_world: World) -> World:
    """The storage was lost, so the next run has to publish again, and needs a broker for it."""
    shutil.rmtree(spare_world.state / "storage")
    return spare_world


def test_no_broker_at_an_external_address(unserved_world: World) -> None:
    edit(unserved_world.root, "configs/base.yml", "mode: embedded ", "mode: external ")
    done = unserved_world.ok("run", "--quiet")
    assert (done.code, done.out) == (3, "")
    lines = error_lines(done)
    assert lines[0] == f"Error: no Kafka answers at 127.0.0.1:{BROKER_PORT}"
    assert "what to do:" in lines[-1]


def test_a_port_of_the_broker_is_taken(unserved_world: World) -> None:
    with socket.create_server(("127.0.0.1", BROKER_PORT)):
        done = unserved_world.ok("run", "--quiet")
    assert (done.code, done.out) == (3, "")
    lines = error_lines(done)
    assert f"port {BROKER_PORT} of 127.0.0.1 is taken by pid {os.getpid()}" in lines[0]
    assert "kafka.bootstrap_servers" in lines[-1]


@pytest.mark.parametrize(
    "variables", [{"JAVA_HOME": "/nowhere"}, {"PATH": "/nowhere", "JAVA_HOME": ""}], ids=["home", "path"]
)
def test_no_java_for_the_broker(unserved_world: World, variables: dict[str, str]) -> None:
    done = unserved_world.ok("run", "--quiet", **variables)
    assert (done.code, done.out) == (3, "")
    lines = error_lines(done)
    assert lines[0].startswith("Error: no Java was found: ")
    assert "install Java 17 or newer" in lines[-1]


def test_what_only_later_steps_need_is_asked_for_before_any_work(spare_world: World) -> None:
    """Features come first here; Java would be missed seconds later, the port only by the publication."""
    edit(spare_world.root, EXPERIMENT_FILE, "affinity_days: 9", "affinity_days: 8")
    done = spare_world.ok("run", JAVA_HOME="/nowhere")
    assert (done.code, done.out) == (3, "")
    assert error_lines(done)[0] == "Error: no Java was found: JAVA_HOME is /nowhere, which has no bin/java"
    assert "working" not in done.err
    with socket.create_server(("127.0.0.1", CONTROLLER_PORT)):
        done = spare_world.ok("run")
    assert (done.code, done.out) == (3, "")
    assert f"port {CONTROLLER_PORT} of 127.0.0.1 is taken by pid {os.getpid()}" in error_lines(done)[0]
    assert "working" not in done.err


# -- a full disk -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that mounts a disk of so many KiB, or gives the mounted one that size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kib: int) -> Path:
        how = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"a disk can be mounted by root only: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # its files may still be mapped here


@pytest.mark.full
def test_a_full_disk_costs_nothing_that_was_committed(spare_world: World, small_disk: Callable[[int], Path]) -> None:
    lake = spare_world.lake.root
    disk = small_disk(65536)
    shutil.copytree(lake, disk / lake.name, symlinks=True)
    small_disk(shutil.disk_usage(disk).used // 1024 + 64)
    edit(spare_world.root, "configs/base.yml", 'lake: {uri: "${state}/lake"}', f'lake: {{uri: "{disk}/lake"}}')
    edit(spare_world.root, EXPERIMENT_FILE, "model: {num_trees: 60}", "model: {num_trees: 61}")
    before, rows = served(spare_world), contents(spare_world)
    done = spare_world.ok("run")
    assert (done.code, done.out) == (3, "")
    lines = error_lines(done)
    assert lines[0].startswith(f"Error: {EXPERIMENT}/model: no room on the disk: ")
    assert "the same command continues from there" in lines[-1]
    assert contents(spare_world) == rows
    assert served(spare_world) == before
    small_disk(65536)
    assert spare_world.pipeline.is_current(c.EMBEDDINGS)
    assert not spare_world.pipeline.is_current(c.MODEL)


def contents(world: World) -> dict[str, int]:
    """Rows really read of everything that is committed, whatever the configuration would make anew."""
    lake = world.lake
    found = {}
    for manifest in sorted(lake.root.glob("*/*/_committed/*.json")):
        scope, table, dt = manifest.parts[-4], manifest.parts[-3], manifest.stem
        files = [name for name in lake.files(scope, table, [dt]) if name.endswith(".parquet")]
        found[f"{scope}/{table}/{dt}"] = sum(pq.read_table(name, partitioning=None).num_rows for name in files)
    return found


def test_a_file_that_does_not_fit_is_not_committed(tmp_path: Path) -> None:
    """The same without a mount: the kernel refuses files of more than 64 KiB."""
    program = (
        "import resource, sys; import pyarrow as pa; from ok_ml.lake import Lake; from ok_ml.errors import write_fault\n"
        "lake = Lake(sys.argv[1]); small = pa.table({'x': pa.array(range(100), pa.int64())})\n"
        "lake.write('s', 't', '2026-01-01', small, sort_by=['x'])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "big = pa.table({'x': pa.array([n * 2654435761 % 2**40 for n in range(50_000)], pa.int64())})\n"
        "try:\n    lake.write('s', 't', '2026-01-01', big, sort_by=['x'])\n"
        "except OSError as error:\n    print(write_fault(error).problem)\n"
        "print(lake.read('s', 't', ['2026-01-01']).num_rows, len(list((lake.root / 's/t/2026-01-01').iterdir())))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    problem, left = done.stdout.splitlines()
    assert problem.startswith("no room on the disk: ")
    assert left == "100 1"  # the old rows, and no folder but theirs


# -- everything again ----------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_everything_again_gives_the_same_rows(spare_world: World) -> None:
    again = spare_world.ok("run", "--force", "--json")
    assert again.code == 0, again.err
    assert again.json["content"] == spare_world.first.json["content"]
    assert again.json["metrics"] == spare_world.first.json["metrics"]
    assert again.json["generation"] > spare_world.first.json["generation"]
    assert spare_world.lake.manifest(EXPERIMENT, c.MODEL).details["sha256"] == sha_in_mlflow(spare_world)


def sha_in_mlflow(world: World) -> str:
    """Of the first run's model."""
    with closing(sqlite3.connect(world.state / "mlflow.db")) as database:
        query = "select value from tags join runs using (run_uuid) where key = 'ok_ml.sha256' order by start_time"
        return database.execute(query).fetchone()[0]
