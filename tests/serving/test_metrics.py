"""/metrics and /deadman of a real service: exact counts, several workers, and a daemon that does not tick."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ok_ml import metrics as m
from ok_ml.heartbeat import Heartbeat, write_heartbeat
from ok_ml.metric_files import FOLDER, write
from tests.cli.published import publish
from tests.serving.conftest import FIRST_GENERATION, Server, _wait, free_port
from tests.small_project import edit, make_project

LOOKUP = "/v1/predictions/toy_sources"
MODULE = [sys.executable, "-m", "ok_ml.console.server", "--project"]


def scraped(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(Sample, labels) -> value."""
    answer = server.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == m.CONTENT_TYPE
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def total(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """Sum over all samples with these labels, as PromQL's sum."""
    wanted = set(labels.items())
    return sum(value for (sample, known), value in found.items() if sample == name and wanted <= known)


def requests(server: Server) -> Counter[tuple[str, str, str]]:
    """(Route, experiment, status) -> requests."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for (name, labels), value in scraped(server).items():
        if name == "ok_ml_request_seconds_count":
            known = dict(labels)
            counted[known["route"], known["experiment"], known["status"]] += int(value)
    return counted


def test_requests_lookups_and_fallbacks_are_counted_exactly(server: Server) -> None:
    before, counted = scraped(server), requests(server)
    for user in (1, 2, 3, 3, 999):
        assert server.get(f"{LOOKUP}/{user}").status == 200
    assert server.post(LOOKUP, {"entity_ids": [1, 998, 999]}).status == 200
    assert server.get("/v1/predictions/nobody/1").status == 404
    assert server.get("/v1/predictions/unpublished/1").status == 503
    assert server.get("/nowhere").status == 404
    after = scraped(server)
    more = requests(server) - counted
    del more["other", "", "200"]  # the scrapes themselves
    assert more == {
        ("one", "toy_sources", "200"): 5,
        ("batch", "toy_sources", "200"): 1,
        ("one", "unpublished", "503"): 1,
        ("other", "", "404"): 2,
    }
    lookups = {
        name: total(after, name, experiment="toy_sources") - total(before, name, experiment="toy_sources")
        for name in ("ok_ml_lookups_total", "ok_ml_fallbacks_total")
    }
    # User 3 has the fallback list as its own.
    assert lookups == {"ok_ml_lookups_total": 8, "ok_ml_fallbacks_total": 5}


def test_callers_cannot_make_labels_many(server: Server) -> None:
    scraped(server)
    known = len(scraped(server))
    for number in range(40):
        server.get(f"/v1/predictions/made-up-{number}/1")
        server.get(f"/made/up/{number}")
        server.get(f"/plots/made-up-{number}.png")
    assert len(scraped(server)) <= known + 2 * 18  # at most two further histograms


def test_what_is_served_is_told(server: Server) -> None:
    found = scraped(server)
    assert total(found, "ok_ml_served_generation_timestamp_seconds", experiment="toy_sources") == pytest.approx(
        time.time(), abs=600
    )
    assert (
        total(found, "ok_ml_served_data_timestamp_seconds") == 1_769_904_000
    )  # 2026-02-01T00:00:00Z: data up to 2026-01-31
    assert total(found, "ok_ml_served_predictions") == 3
    assert total(found, "ok_ml_open_readers", experiment="toy_sources") == 1
    assert total(found, "ok_ml_process_up", process="service") == 1
    assert total(found, "ok_ml_process_resident_bytes", process="service") > 10e6
    assert not [
        labels
        for name, labels in found
        if name.startswith("ok_ml_served_gen") and ("experiment", "unpublished") in labels
    ]


def test_the_other_processes_are_told_at_the_same_address(server: Server) -> None:
    board = m.Board("materialiser")
    board.set(m.LAG, 17, experiment="toy_sources")
    write(server.root / ".ok_ml", "materialiser", board, holds_seconds=60)
    assert total(scraped(server), "ok_ml_materialiser_lag_records", process="materialiser") == 17


def test_a_daemon_that_does_not_tick_is_noticed_outside(server: Server) -> None:
    state = server.root / ".ok_ml"
    silent = server.get("/deadman")
    assert silent.status == 503
    assert silent.json["detail"] == "no heartbeat has ever come through Dagster's daemon"
    write_heartbeat(state, Heartbeat(time.time()))
    alive = server.get("/deadman")
    assert (alive.status, alive.text[:6]) == (200, "alive:")
    assert total(scraped(server), "ok_ml_heartbeat_timestamp_seconds") == pytest.approx(time.time(), abs=30)
    write_heartbeat(state, Heartbeat(time.time() - 200))
    late = server.get("/deadman")
    assert late.status == 503
    assert "limit 180 s: Dagster's daemon does not tick" in late.json["detail"]
    assert "ok-ml ui" in late.json["remedy"]
    assert total(scraped(server), "ok_ml_heartbeat_limit_seconds") == 180
    (state / "heartbeat.json").unlink()


def test_two_workers_add_up_and_no_counter_goes_back(tmp_path: Path) -> None:
    root, port = make_project(tmp_path / "project"), free_port()
    edit(root, "configs/base.yml", "service: {port: 21315}", f"service: {{port: {port}}}")
    publish(root, FIRST_GENERATION)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OK_ML_")}
    with (root / "server.log").open("wb") as sink:
        process = subprocess.Popen([*MODULE, str(root)], env=environment, stdout=sink, stderr=sink)
    server = Server(root, port, process.pid)
    try:
        _wait(server, process, root / "server.log")
        sent, seen = 0, 0.0
        for _ in range(12):
            for user in range(20):
                assert server.get(f"{LOOKUP}/{user}").status == 200
            sent += 20
            now = total(scraped(server), "ok_ml_lookups_total", experiment="toy_sources")
            assert seen <= now <= sent
            seen = now
        deadline = time.monotonic() + 8
        while seen < sent and time.monotonic() < deadline:  # until the other worker has written, every two seconds
            time.sleep(0.1)
            seen = total(scraped(server), "ok_ml_lookups_total", experiment="toy_sources")
        found = scraped(server)
        assert seen == sent == 240
        assert total(found, "ok_ml_request_seconds_count", route="one") == 240
        assert len({value for _, labels in found for name, value in labels if name == "worker"}) == 2
        assert len(list((root / ".ok_ml" / FOLDER).glob("service-*.prom"))) == 2
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
