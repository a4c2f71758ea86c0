"""The drill's own parts: what is asked every second, what is written down, and what is drawn from it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from drills import past, what_if
from drills.chronicle import Chronicle, Entry, RunSeen, spans
from drills.deployment import DATASET, DATASET_FILE, SIZE, Deployment, free_ports
from drills.lab import Lab
from drills.picture import draw_likes, draw_story
from drills.prober import Prober
from drills.what_if import DAYS, Likes, compared
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events

PNG = b"\x89PNG"


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    monkeypatch.setenv("OK_ML_STATE", "")  # a deployment names its own, which is taken back after the test
    return Deployment(tmp_path / "network", first_port=free_ports(29930), world={"users": 300, "sources": 120})


@pytest.fixture
def service(deployment):
    """Answers with generation a, from the third question on with b, and the second time not at all."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body["entity_ids"])
            answer = {"generation": "a" if len(asked) < 3 else "b", "results": [{}] * len(body["entity_ids"])}
            self.send_response(503 if len(asked) == 2 else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", deployment.ports["service"]), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield asked
    server.shutdown()
    server.server_close()


def test_the_prober_writes_down_every_answer_and_every_silence(deployment, service, tmp_path, monkeypatch):
    monkeypatch.setattr("drills.prober.PERIOD_SECONDS", 0.05)
    prober = Prober(deployment, [1, 2, 3], tmp_path / "probes.jsonl")
    prober.start()
    deployment.wait("four questions", 20, lambda: len(prober.probes) >= 4)
    prober.stop()
    assert [probe.generation for probe in prober.probes[:4]] == ["a", None, "b", "b"]
    assert [probe.users for probe in prober.probes[:4]] == [3, 0, 3, 3]
    assert service[0] == ["1", "2", "3"]
    assert len((tmp_path / "probes.jsonl").read_text().splitlines()) == len(prober.probes)


def test_a_deployment_is_the_shipped_configuration_made_small(deployment):
    project = deployment.project()
    assert project.datasets[DATASET].world.users == 300
    assert project.environment.service.port == deployment.ports["service"]
    deployment.update(DATASET_FILE, {f"sizes.{SIZE}.world.incidents": [{"day": 30, "kind": "misjoined"}]})
    assert deployment.project().datasets[DATASET].world.incidents[0].day == 30


def test_what_nobody_answers_in_time_is_said(deployment):
    with pytest.raises(TimeoutError, match="not within 0 s: a miracle"):
        deployment.wait("a miracle", 0.01, lambda: None)


def test_spans_are_matched_in_order():
    told = [(1, "opened i1: x"), (2, "opened i2: y"), (5, "closed i1: x"), (9, "other")]
    entries = [Entry(at, "alert", what) for at, what in told] + [Entry(3, "day", "opened nothing")]
    assert list(spans(entries, "alert", "opened", "closed")) == [(1, 5, "opened i1: x"), (2, None, "opened i2: y")]


def test_the_story_is_drawn(deployment, tmp_path, monkeypatch):
    chronicle = Chronicle(deployment, tmp_path / "timeline.jsonl", lambda _line: None)
    start = chronicle.started
    for at, kind, what, day in (
        (0, "act", "quiet days", ""),
        (10, "day", "the log is there", "2026-02-01"),
        (40, "live", "generation g1", "2026-02-01"),
        (60, "act", "act 1: broken", "2026-02-02"),
        (70, "verdict", "events of 2026-02-02: is blocked", "2026-02-02"),
        (75, "alert", "opened i1: events are odd", ""),
        (130, "verdict", "events of 2026-02-02: passes", "2026-02-02"),
        (150, "alert", "closed i1: events are odd", ""),
        (160, "live", "generation g2", "2026-02-02"),
    ):
        chronicle.note(kind, what, day=day, at=start + at)
    runs = [
        RunSeen("r1", "ingest", "SUCCESS", start + 12, start + 30, "", ()),
        RunSeen("r2", "training", "FAILURE", start + 80, None, "the model is 8 days old", ()),
    ]
    monkeypatch.setattr(chronicle, "runs", lambda: runs)
    drill = type("Drill", (), {"chronicle": chronicle})()
    draw_story(drill, tmp_path / "story.png")
    assert (tmp_path / "story.png").read_bytes().startswith(PNG)
    lines = [json.loads(line) for line in (tmp_path / "timeline.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines][:2] == ["act", "day"]


def test_a_fall_of_likes_is_told_from_chance(tmp_path):
    rng, days = np.random.default_rng(0), [f"2026-02-{day:02d}" for day in range(1, DAYS + 1)]
    kept = [rng.poisson(3.0, 500) for _ in days]
    fewer = [np.where(rng.random(500) < 0.2, 0, day) for day in kept]
    mixed = [rng.poisson(3.0, 500) for _ in days]
    fall, chance = compared(days, kept, fewer, days[3:4]), compared(days, kept, mixed, days[3:4])
    assert fall.falls
    assert -0.25 < fall.change < -0.15
    assert not chance.falls or abs(chance.change) < 0.05
    assert not Likes().falls
    draw_likes(fall, tmp_path / "likes.png")
    assert (tmp_path / "likes.png").read_bytes().startswith(PNG)


@pytest.mark.full
def test_a_network_has_a_past_and_what_would_have_been(deployment, monkeypatch):
    """Two served days after thirty without, then three days from a broken join on, checked and unchecked."""
    monkeypatch.setattr(past, "UNSERVED_DAYS", 30)
    monkeypatch.setattr(past, "SERVED_DAYS", 2)
    monkeypatch.setattr(what_if, "DAYS", 3)
    monkeypatch.setattr(what_if, "RETRAINED_AFTER", (1,))
    past.live_a_past(deployment, lambda _line: None)
    days = deployment.days()
    served = {dt: deployment.manifest("raw_events", dt, DATASET)["inputs"]["served"] != "none" for dt in days}
    assert (len(days), [dt for dt, was in served.items() if was]) == (32, days[-2:])

    lab = Lab(deployment, deployment.state)
    ingest_events(lab.config, lab.lake, days, root=lab.project.root)
    build_snapshots(lab.config, lab.lake, days, root=lab.project.root)
    likes = what_if.without_checks(deployment, lab.world.date_of(32), lambda _line: None)
    assert (len(likes.days), likes.retrained) == (3, likes.days[1:2])
    assert min(likes.with_checks + likes.without) > 0
    assert likes.with_checks[0] == likes.without[0]  # the lists of the first day were made before it
    assert likes.low <= likes.change <= likes.high
