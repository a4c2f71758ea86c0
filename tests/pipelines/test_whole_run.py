"""`ok-ml run` from an empty folder to what is served: one run of a small network, looked at from every side."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import xxhash

from ok_ml import columns as c
from ok_ml.delivery.codec import Kind, id_of, unpack_prefix
from ok_ml.delivery.control import CHECKSUM_MASK, Control, hex_checksum, open_control
from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.delivery.kafka.topics import topic_of
from ok_ml.features.declared.registry import feature_names
from ok_ml.graph import keys
from ok_ml.graph.table_columns import SCHEMA, declared_columns
from ok_ml.local.broker.embedded_broker import EmbeddedBroker
from ok_ml.pipelines.source_recommendation.stages import TYPE
from ok_ml.quality.judges.day_rules import KINDS, UNIQUENESS
from ok_ml.ranked_lists.bundles import model_file
from ok_ml.release.gate.promoting import ALIAS, champion_bundle
from ok_ml.release.gate.promotion_record import RECORD_FILE, PromotionRecord, verify
from ok_ml.signing import load_key, sha256_of_file
from ok_ml.stages.stage import Phase
from tests.pipelines.conftest import World
from tests.pipelines.world_project import (
    BROKER_PORT,
    CONTROLLER_PORT,
    DATASET,
    DAYS,
    EXPERIMENT,
    spark_events,
)

EVENT_COLUMNS = (
    "user_id",
    "source_id",
    "item_id",
    "event_type",
    "position",
    "content_type",
    "duration_ms",
    "event_time",
)
CHECKS = {
    f"{DATASET}/events": {"rejected_rows", *KINDS} - {UNIQUENESS}, f"{DATASET}/event_statistics": {UNIQUENESS},
    f"{EXPERIMENT}/feature_statistics": {"feature_distributions"},
    f"{EXPERIMENT}/evaluation": {"better_than_popularity"}, f"{EXPERIMENT}/predictions": {"lists"},
    f"{EXPERIMENT}/live_predictions": {"parity"},
}  # fmt: skip


# -- the command ---------------------------------------------------------------------------------------------------


def test_it_ends_well(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.first.code == 0, world.first.err
    assert "Traceback" not in world.first.err
    with capsys.disabled():
        print(f"\n  ok-ml run: {world.first.seconds:.0f} s, {world.first.cpu_seconds:.0f} s of CPU", end="")  # noqa: T201


def test_progress_names_every_stage(world: World) -> None:
    done = re.findall(r"\] done +(\S+):", world.first.err)
    assert done == [
        f"{DATASET}/raw_log",
        f"{DATASET}/events",
        f"{DATASET}/snapshots",
        f"{DATASET}/event_statistics",
        f"{DATASET}/product_metrics",
        f"{EXPERIMENT}/features",
        f"{EXPERIMENT}/embeddings",
        f"{EXPERIMENT}/training_set",
        f"{EXPERIMENT}/model",
        f"{EXPERIMENT}/evaluation",
        f"{EXPERIMENT}/champion",
        f"{EXPERIMENT}/feature_statistics",
        f"{EXPERIMENT}/retrieval",
        f"{EXPERIMENT}/embedding_statistics",
        f"{EXPERIMENT}/predictions",
        f"{EXPERIMENT}/prediction_statistics",
        f"{EXPERIMENT}/publication",
        f"{EXPERIMENT}/live_predictions",
    ]


def test_the_summary_has_the_shape_that_programs_read(world: World) -> None:
    summary = world.first.json
    assert json.loads((world.state / "runs" / "last.json").read_text())["experiment"] == EXPERIMENT
    (written,) = [
        path for path in (world.state / "runs").glob(f"*-{EXPERIMENT}.json") if json.loads(path.read_text())["stages"]
    ]
    assert json.loads(written.read_text()) == summary
    assert (summary["experiment"], summary["size"], summary["seed"]) == (EXPERIMENT, "tiny", 20201)
    assert {"name", "value", "unit", "peer", "peer_value", "ratio"} == {key for row in summary["rows"] for key in row}
    assert summary["seconds"] > 1
    assert summary["peak_memory_mib"] > 100
    assert {"python", "dagster", "pyspark", "mlflow", "lightgbm", "confluent-kafka", "great-expectations"} <= set(
        summary["versions"]
    )
    assert summary["machine"]["cpus"] == os.cpu_count()
    assert summary["model_version"] == 1
    assert summary["unchanged"] == []
    stages = {row["stage"]: row["rows"] for row in summary["stages"]}
    assert (
        stages[f"{EXPERIMENT}/predictions"]
        == stages[f"{EXPERIMENT}/publication"]
        == stages[f"{EXPERIMENT}/live_predictions"]
        > 200
    )
    assert all(re.fullmatch(r"[0-9a-f]{16,64}", value) for value in summary["content"].values())


def test_the_model_beats_popularity_and_not_the_truth(world: World) -> None:
    rows = {(row["name"], row["peer"]): row for row in world.first.json["rows"]}
    assert rows["two_stage ndcg@10", "popularity"]["ratio"] > 1.05
    assert rows["two_stage ndcg@10", "oracle"]["ratio"] < 1


def test_what_it_started_has_ended(world: World) -> None:
    for port in (BROKER_PORT, CONTROLLER_PORT):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    left = psutil.wait_procs(below(world.state), timeout=10)[1]  # a JVM needs a moment after its driver has gone
    assert [process.cmdline() for process in left] == []


def below(state: Path) -> list[psutil.Process]:
    """Processes whose command line names the state folder."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(state) in command and process.pid != os.getpid():
            found.append(process)
    return found


def test_a_second_run_does_nothing_and_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It needs no `--size` either: that of the first run is remembered."""
    before = dagster_runs(world.state)
    again = world.ok("run", "--json")
    assert (again.code, again.json["size"], again.json["stages"]) == (0, "tiny", [])
    size, *lines = again.err.splitlines()
    assert size.startswith("prod_discovery in size tiny, as in the last run")
    said = [line.split("] ", 1)[1] for line in lines]  # behind the seconds
    assert [line for line in said if not line.startswith("checks ")] == [
        f"unchanged  {what}" for what in again.json["unchanged"]
    ]
    assert [line for line in said if line.startswith("checks ")] == [f"checks     {again.json['guard']}"]
    assert len(again.json["unchanged"]) == 5
    for what in ("content", "generation", "model_version", "example_user", "metrics"):
        assert again.json[what] == world.first.json[what]
    assert dagster_runs(world.state) == before
    assert again.cpu_seconds < 5
    with capsys.disabled():
        print(f"\n  ok-ml run with nothing to do: {again.seconds:.1f} s", end="")  # noqa: T201


def dagster_runs(state: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(state / "dagster" / "history" / "runs.db") as database:
        return database.execute("select run_id, status from runs order by id").fetchall()


# -- what is served ------------------------------------------------------------------------------------------------


def test_the_example_user_is_served_names_and_scores(world: World) -> None:
    user, generation = world.first.json["example_user"], world.first.json["generation"]
    found = world.ok("get", EXPERIMENT, user, "--json").json
    assert (found["generation"], found["model_version"], found["fallback"], found["known"]) == (
        generation,
        "1",
        False,
        True,
    )
    scores = [source["score"] for source in found["sources"]]
    assert len(scores) == len({source["source_id"] for source in found["sources"]}) == 50
    assert scores == sorted(scores, reverse=True)
    assert all(source["name"] and source["reason"] for source in found["sources"])
    shown = world.ok("get", EXPERIMENT, user, "-n", "3")
    assert f"generation {generation}, model version 1" in shown.out
    assert all(source["name"] in shown.out for source in found["sources"][:3])


def test_nobody_is_served_what_they_are_subscribed_to(world: World) -> None:
    lists = {row[c.USER_ID]: row[c.SOURCE_IDS] for row in rows_of(world, EXPERIMENT, c.PREDICTIONS)}
    subscribed = {(row[c.USER_ID], row[c.SOURCE_ID]) for row in rows_of(world, DATASET, c.SUBSCRIPTIONS)}
    served = {(user, source) for user, sources in lists.items() for source in sources}
    assert set(lists) == {row[c.USER_ID] for row in rows_of(world, DATASET, c.USERS)}
    assert len(subscribed) > 1000
    assert not served & subscribed
    assert {source for _, source in served} <= {row[c.SOURCE_ID] for row in rows_of(world, DATASET, c.SOURCES)}


def test_a_user_without_events_gets_the_fallback_and_it_is_marked(world: World) -> None:
    active = {row[c.USER_ID] for dt in world.pipeline.committed() for row in rows_of(world, DATASET, c.EVENTS, dt)}
    rows = rows_of(world, EXPERIMENT, c.PREDICTIONS)
    idle = [row for row in rows if row[c.USER_ID] not in active]
    assert all(row[c.IS_FALLBACK] for row in idle)
    fallback = [row for row in rows if row[c.IS_FALLBACK]]
    assert fallback, "no user of this network is without history: enlarge it"
    for row in fallback:  # a place that explores has the reason of its candidate
        listed = [one for one, chance in zip(row[c.REASONS], row[c.PROPENSITIES], strict=True) if chance > 0.5]
        assert c.REASON_FALLBACK in set(listed) <= {c.REASON_FALLBACK, c.REASON_FRIENDS}
    found = world.ok("get", EXPERIMENT, str(fallback[0][c.USER_ID]), "--json").json
    assert (found["fallback"], found["known"]) == (True, True)
    assert [int(source["source_id"]) for source in found["sources"]] == fallback[0][c.SOURCE_IDS]


def rows_of(world: World, scope: str, table: str, dt: str | None = None) -> list[dict]:
    dt = dt or world.pipeline.calendar().serve_cut
    return world.lake.read(scope, table, [dt]).to_pylist()


# -- MLflow --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlflow_client(world: World):
    from ok_ml.resources.mlflow import MlflowResource

    return MlflowResource(tracking_uri=world.pipeline.project.environment.mlflow.tracking_uri).client()


@pytest.fixture(scope="module")
def tracked(world: World, mlflow_client):
    experiment = mlflow_client.get_experiment_by_name(EXPERIMENT)
    (run,) = mlflow_client.search_runs([experiment.experiment_id])
    return run


def test_the_run_is_finished_and_names_its_dagster_run(world: World, tracked) -> None:
    assert tracked.info.status == "FINISHED"
    assert tracked.info.end_time >= tracked.info.start_time
    assert tracked.data.tags["ok_ml.experiment"] == EXPERIMENT
    training = tracked.data.tags["dagster_run_id"]
    assert (training, "SUCCESS") in dagster_runs(world.state)
    assert training == world.lake.manifest(EXPERIMENT, c.MODEL).details["dagster_run_id"]


def test_parameters_are_those_of_the_yaml(world: World, tracked) -> None:
    stages = world.pipeline.config.stages.model_dump(mode="json")
    given = {f"{stage}.{name}": str(value) for stage, values in stages.items() for name, value in values.items()}
    assert given.items() <= tracked.data.params.items()
    assert tracked.data.params["model.num_trees"] == "60"
    assert tracked.data.params["seed"] == "20201"


def test_metrics_and_the_learning_curve_are_logged(world: World, tracked, mlflow_client) -> None:
    for row in world.first.json["metrics"]:
        metric = row["name"].removeprefix("two_stage ").replace("@", "_at_")
        assert tracked.data.metrics[f"two_stage.{metric}"] == pytest.approx(row["value"])
        assert tracked.data.metrics[f"{row['peer']}.{metric}"] == pytest.approx(row["peer_value"])
    curve = mlflow_client.get_metric_history(tracked.info.run_id, "curve.ndcg_at_10")
    assert [point.step for point in curve] == list(range(1, 61))
    kept = booster_of(world).num_trees()
    assert curve[kept - 1].value == tracked.data.metrics["held_out.ndcg_at_10"]


def test_plots_log_and_configuration_are_kept(world: World, tracked) -> None:
    from urllib.parse import unquote, urlparse

    folder = Path(unquote(urlparse(tracked.info.artifact_uri).path))
    assert folder.is_relative_to(world.state / "mlflow")
    plots = {path.stem for path in (folder / "plots").glob("*.png") if path.read_bytes().startswith(b"\x89PNG")}
    assert plots >= {"learning_curve", "feature_importance", "evaluation", "segments"}
    assert len((folder / "training.log").read_text().splitlines()) > 3
    logged = json.loads((folder / "config" / "experiment.json").read_text())
    assert logged == world.pipeline.config.model_dump(mode="json")
    assert json.loads((folder / "config" / "dataset.json").read_text())["world"]["days"] == DAYS
    bundle, _ = champion_bundle(world.pipeline)
    assert sha256_of_file(model_file(folder / "bundle")) == sha256_of_file(model_file(bundle))


def test_the_registered_version_has_a_signature_and_the_alias(world: World, tracked, mlflow_client) -> None:
    import mlflow

    version = mlflow_client.get_model_version_by_alias(EXPERIMENT, ALIAS)
    assert (int(version.version), version.run_id) == (1, tracked.info.run_id)
    mlflow.set_tracking_uri(mlflow_client.tracking_uri)
    signature = mlflow.models.get_model_info(f"models:/{EXPERIMENT}@{ALIAS}").signature
    names = [*feature_names("user"), *feature_names("source"), *feature_names("pair")]
    assert signature.inputs.input_names() == list(world.pipeline.layout().feature_order())
    assert set(names) <= set(signature.inputs.input_names())
    assert {kind.name for kind in signature.inputs.input_types()} == {"float"}  # MLflow's name of float32


def booster_of(world: World) -> Any:
    import lightgbm

    bundle, _ = champion_bundle(world.pipeline)
    return lightgbm.Booster(model_file=str(model_file(bundle)))


def test_the_model_is_lightgbm_s_and_has_the_trees_up_to_the_top_of_its_curve(
    world: World, tracked, mlflow_client
) -> None:
    from ok_ml.recommender.ranking.ranker import best_iteration

    booster = booster_of(world)
    curve = mlflow_client.get_metric_history(tracked.info.run_id, "curve.ndcg_at_10")
    assert booster.num_trees() == best_iteration([point.value for point in curve], 60)
    assert booster.feature_name() == list(world.pipeline.layout().feature_order())


# -- promotion -----------------------------------------------------------------------------------------------------


def test_the_promotion_record_is_signed_and_complete(world: World) -> None:
    bundle, record = champion_bundle(world.pipeline)
    assert (record.model_version, record.experiment, record.lineage.missing()) == ("1", EXPERIMENT, [])
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=world.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (record.lineage.git_commit, record.lineage.git_dirty) == (head, False)
    assert len(record.lineage.dataset_versions) == DAYS
    verify(record, load_key(world.state, None), record.model_sha256, experiment=EXPERIMENT, require_clean_tree=True)
    assert record == PromotionRecord.from_json((bundle / RECORD_FILE).read_bytes())


# -- Dagster -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instance(world: World) -> Iterator[object]:
    import dagster as dg

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(world.state / "dagster"))
        with dg.DagsterInstance.get() as opened:
            yield opened


def test_every_dagster_run_succeeded(world: World) -> None:
    assert Counter(status for _, status in dagster_runs(world.state)) == {"SUCCESS": 5}


def test_dagster_knows_every_materialisation_with_its_rows(world: World, instance) -> None:
    lake = world.lake
    expected = {(DATASET, table): lake.partitions(DATASET, table) for table in c.DATASET_TABLES}
    expected |= {
        (EXPERIMENT, table): lake.partitions(EXPERIMENT, table) for table in (*c.FEATURE_TABLES, c.FEATURE_STATISTICS)
    }
    for (scope, table), dts in expected.items():
        records = instance.fetch_materializations(keys.asset_key(scope, table), limit=100).records
        rows = {record.partition_key: rows_in(record) for record in records}
        assert rows == {dt: lake.manifest(scope, table, dt).rows for dt in dts}, f"{scope}/{table}"
    for table in TYPE.tables(Phase.TRAINING, Phase.SERVING):
        (record,) = instance.fetch_materializations(keys.asset_key(EXPERIMENT, table), limit=10).records
        dt = lake.latest(EXPERIMENT, table)
        assert rows_in(record) == lake.manifest(EXPERIMENT, table, dt).rows, table


def rows_in(record) -> int:
    return record.asset_materialization.metadata["dagster/row_count"].value


def test_dagster_shows_the_columns_that_are_stored(world: World, instance) -> None:
    for table in (c.USER_FEATURES, c.SOURCE_FEATURES, c.PAIR_FEATURES):
        (path, *_) = world.lake.files(EXPERIMENT, table, [world.lake.latest(EXPERIMENT, table)])
        declared = declared_columns(world.pipeline, table)[SCHEMA].columns
        assert [column.name for column in declared] == [
            name for name in pq.read_schema(path).names if name not in {c.DT, c.PART}
        ], table
    for scope, table, wanted in (
        (DATASET, c.EVENTS, EVENT_COLUMNS),
        (EXPERIMENT, c.TRAINING_SET, (c.USER_ID,)),
    ):
        (record,) = instance.fetch_materializations(keys.asset_key(scope, table), limit=1).records
        shown = record.asset_materialization.metadata[SCHEMA].schema.columns
        assert {column.name for column in shown} >= set(wanted), table


def test_dagster_shows_which_days_were_read(world: World, instance) -> None:
    (record,) = instance.fetch_materializations(keys.asset_key(EXPERIMENT, c.EVALUATION), limit=1).records
    read = {row.data["table"]: row.data for row in record.asset_materialization.metadata["partitions_read"].records}
    days = world.pipeline.calendar().eval_dts
    events = read[f"{DATASET}/events"]
    assert (events["partitions"], events["first"], events["last"]) == (str(len(days)), days[0], days[-1])


def test_every_check_was_evaluated_and_passed(instance) -> None:
    import dagster as dg

    for asset, names in CHECKS.items():
        for name in names:
            key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name)
            (found,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
            assert found.status.value == "SUCCEEDED", f"{asset} {name}"
            assert found.evaluation.description


def test_great_expectations_judged_every_feature(world: World, instance) -> None:
    import dagster as dg

    key = dg.AssetCheckKey(keys.asset_key(EXPERIMENT, c.FEATURE_STATISTICS), "feature_distributions")
    (found,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    dt = world.pipeline.calendar().serve_cut
    features = world.lake.manifest(EXPERIMENT, c.FEATURE_STATISTICS, dt).rows
    assert found.evaluation.metadata["expectations"].value > 3 * features
    verdict = world.lake.manifest(EXPERIMENT, "feature_verdict", dt)
    assert verdict.details["blocks"] is False
    assert verdict.inputs["statistics"] == world.lake.manifest(EXPERIMENT, c.FEATURE_STATISTICS, dt).data_version


# -- Spark ---------------------------------------------------------------------------------------------------------


def test_spark_scored_each_part_in_one_task_without_a_shuffle(world: World) -> None:
    """From Spark's own event log: the last stage of the run is the one that predicts."""
    log = min(
        spark_events(world.root).iterdir(), key=lambda path: path.stat().st_mtime
    )  # later ones are of other tests
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (start,) = [event for event in events if event["Event"] == "SparkListenerApplicationStart"]
    assert start["App Name"] == "ok-ml"
    tasks = [event for event in events if event["Event"] == "SparkListenerTaskEnd"]
    assert {task["Task End Reason"]["Reason"] for task in tasks} == {"Success"}
    last = max(task["Stage ID"] for task in tasks)
    scoring = [task for task in tasks if task["Stage ID"] == last]
    parts = world.pipeline.dataset.parts
    assert sorted(task["Task Info"]["Index"] for task in scoring) == list(range(parts))
    assert sum(task["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"] for task in scoring) == 0
    assert sum(task["Task Metrics"]["Shuffle Read Metrics"]["Total Records Read"] for task in scoring) == 0
    files = world.lake.files(EXPERIMENT, c.PREDICTIONS, [world.pipeline.calendar().serve_cut])
    assert [set(pq.read_table(name, partitioning=None)[c.PART].to_pylist()) for name in files] == [
        {part} for part in range(parts)
    ]


# -- Kafka ---------------------------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_the_topic_holds_exactly_what_the_storage_verified(world: World) -> None:
    """The broker is started again on the data that the run left, and read with a plain consumer."""
    project = world.pipeline.project
    broker = EmbeddedBroker(project.environment.kafka, world.state)
    broker.start()
    try:
        records = consumed(
            project.environment.kafka.bootstrap_servers,
            topic_of(EXPERIMENT),
            project.experiments[EXPERIMENT].delivery.partitions,
        )
    finally:
        broker.stop()
    by_kind = Counter(unpack_prefix(value).kind for _, _, value in records)
    predictions = world.lake.manifest(EXPERIMENT, c.PREDICTIONS, world.pipeline.calendar().serve_cut)
    sources = world.lake.manifest(DATASET, c.SOURCES, predictions.partition)
    parts = world.pipeline.dataset.parts
    assert by_kind == {
        Kind.PREDICTION: predictions.rows,
        Kind.CATALOGUE: sources.rows,
        Kind.FALLBACK: parts,
        Kind.CONTROL: parts,
    }
    key = DeliverySettings.of(project).signing_key()
    for part, control in controls_of(records, key).items():
        own = [(k, v) for p, k, v in records if p == part and unpack_prefix(v).kind != Kind.CONTROL]
        total = sum(xxhash.xxh3_64_intdigest(k + v) for k, v in own) & CHECKSUM_MASK
        assert (control.count, control.checksum) == (len(own), hex_checksum(total))
    users = {id_of(k) for _, k, v in records if unpack_prefix(v).kind == Kind.PREDICTION}
    assert users == {row[c.USER_ID] for row in rows_of(world, EXPERIMENT, c.PREDICTIONS)}
    live = world.lake.manifest(EXPERIMENT, c.LIVE_PREDICTIONS)
    assert live.details["records"] == len(records) - parts


def controls_of(records: list[tuple[int, bytes, bytes]], key: bytes) -> dict[int, Control]:
    return {part: open_control(value, key) for part, _, value in records if unpack_prefix(value).kind == Kind.CONTROL}


def consumed(servers: str, topic: str, partitions: int) -> list[tuple[int, bytes, bytes]]:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "tests", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, part, OFFSET_BEGINNING) for part in range(partitions)])
    records, ended, deadline = [], set(), time.monotonic() + 60
    while len(ended) < partitions:
        assert time.monotonic() < deadline
        for message in consumer.consume(1000, 1.0):
            if message.error() is None:
                records.append((message.partition(), message.key(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    consumer.close()
    return records
