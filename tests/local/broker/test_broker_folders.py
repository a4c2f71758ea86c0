"""The real broker in folders whose letters Java, Kafka or Log4j would read otherwise: it starts there, twice, and nowhere else."""

import os
from pathlib import Path

import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.kafka.topics import create_topic, list_partitions
from ok_ml.local.broker.broker_files import LOG4J, SERVER, write_settings
from ok_ml.local.broker.embedded_broker import ensure_broker
from ok_ml.local.broker.kafka_jars import find_jars

PORT, CONTROLLER_PORT = 21130, 21131


def embedded(jars_dir: str | None = None) -> KafkaConfig:
    return KafkaConfig(
        mode="embedded",
        bootstrap_servers=f"127.0.0.1:{PORT}",
        controller_port=CONTROLLER_PORT,
        heap_mb=256,
        jars_dir=jars_dir,
    )


@pytest.mark.kafka
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_topics_are_where_the_state_folder_is_and_are_found_again(tmp_path: Path, locale: str, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    state = tmp_path / "данные 2 #x%20, ${sys:x} \\u0041=:!é'\"" / ".ok_ml"
    for made in (True, False):
        with ensure_broker(embedded(), state) as started:
            assert started is not None
            assert create_topic(embedded(), "kept.predictions", 2) is made
            assert list_partitions(embedded())["kept.predictions"] == 2
    assert [path.name for path in tmp_path.iterdir()] == [state.parent.name]
    assert (state / "kafka" / "data" / "kept.predictions-0").is_dir()
    assert (state / "kafka" / "server.log").stat().st_size > 0
    below = {path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*") if path.is_file()}
    assert below
    assert all(parts[1:] == (".ok_ml", "kafka") for parts in below)


@pytest.mark.kafka
def test_it_starts_from_jars_in_a_folder_with_a_colon(tmp_path: Path) -> None:
    jars, folder = tmp_path / "jars: all", tmp_path / "state"
    jars.mkdir()
    for path in find_jars().paths:
        (jars / path.name).symlink_to(path)
    with ensure_broker(embedded(str(jars)), folder) as started:
        assert started is not None
        assert create_topic(embedded(), "kept.predictions", 2)


@pytest.mark.parametrize("name", ["plain", "данные", "a b", "a,b", "a\\b", " leading", "#a", "a=b:c"])
def test_no_path_stands_in_the_settings(tmp_path: Path, name: str) -> None:
    write_settings(tmp_path / name, embedded())
    for file in (SERVER, LOG4J):
        text = (tmp_path / name / file).read_bytes()
        assert text.isascii()
        assert os.fsencode(tmp_path) not in text
