"""File, topic and people: each message where it belongs, whatever stands in the way."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ok_ml.config.models import KafkaConfig
from ok_ml.config.sections.environment_models import AlertChannel, AlertsConfig
from ok_ml.errors import ServiceUnavailable
from ok_ml.incidents import channels as channels_module
from ok_ml.incidents.apprise_channel import AppriseChannel, text_of, title_of
from ok_ml.incidents.channels import FileChannel
from ok_ml.incidents.courier import Couriers, drain
from ok_ml.incidents.policy import Policy
from ok_ml.incidents.routes import known_addresses
from ok_ml.incidents.topic_channel import TopicChannel
from tests.incidents.kills import forked_and_killed_at, killed_at
from tests.incidents.made_up import SCOPE, TEAM, Desk, signal

DRIFT = signal("check", "statistics", "drift")
CHANNEL = AlertChannel(name="team", url_env="TEAM_URL")


class Hook:
    """A web hook on loopback that remembers what it was told, and refuses when it is told to."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, str]] = []
        self.status, self.slow_seconds = 200, 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                time.sleep(hook.slow_seconds)
                if hook.status == 200:
                    hook.bodies.append(body)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    made = Hook()
    monkeypatch.setenv("TEAM_URL", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One incident that was opened and closed: two messages for each channel."""
    desk = Desk(tmp_path, Policy(channels=(TEAM,)))
    desk.look(DRIFT)
    desk.look()
    return desk


def lines(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


# -- the file ------------------------------------------------------------------------------------------------------


def test_a_line_says_everything(desk: Desk, tmp_path: Path) -> None:
    assert drain(desk.store, FileChannel(tmp_path / "alerts.jsonl")) == 2
    opened, closed = map(json.loads, (tmp_path / "alerts.jsonl").read_text().splitlines())
    assert opened["id"] == f"{opened['incident']}/opened"
    assert (opened["event"], closed["event"], opened["closed_at"]) == ("opened", "closed", None)
    assert (opened["asset"], opened["severity"], opened["owners"]) == (
        f"{SCOPE}/statistics",
        "error",
        ["ml@example.org"],
    )
    assert drain(desk.store, FileChannel(tmp_path / "alerts.jsonl")) == 0


def test_half_a_line_is_cut_off_and_whole_ones_are_recognised(desk: Desk, tmp_path: Path) -> None:
    path, first = tmp_path / "alerts.jsonl", desk.ids()[0]
    path.write_text('{"id": "older/opened"}\n' + json.dumps({"id": first}) + '\n{"id": "torn')
    assert drain(desk.store, FileChannel(path)) == 2
    assert lines(path) == ["older/opened", *desk_ids(first)]


def desk_ids(first: str) -> list[str]:
    return [first, first.replace("/opened", "/closed")]


def test_a_long_file_is_not_read_from_its_beginning(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "_TAIL_BYTES", 300)
    path, first = tmp_path / "alerts.jsonl", desk.ids()[0]
    path.write_text("no JSON at all\n" * 50 + json.dumps({"id": first}) + "\n")
    path.write_text(path.read_text().replace("no JSON at all", json.dumps({"id": "x" * 40})))
    drain(desk.store, FileChannel(path))
    assert lines(path)[-2:] == desk_ids(first)
    assert lines(path).count(first) == 1


def test_killed_at_every_step_the_file_holds_each_message_once(tmp_path: Path) -> None:
    deaths, step, alive = 0, 0, False
    while not alive:
        step += 1
        folder = tmp_path / str(step)
        desk, path = Desk(folder), folder / "alerts.jsonl"
        desk.look(DRIFT)
        desk.look()
        expected = desk.ids()
        alive = not forked_and_killed_at(step, desk.store.path, path)
        for again in range(min(step, 3)):  # and again while it repairs what it finds
            deaths += forked_and_killed_at(step - again, desk.store.path, path)
        drain(desk.store, FileChannel(path))
        assert lines(path) == expected, f"killed at step {step}"
    assert step > 10
    assert deaths > 15


# -- people --------------------------------------------------------------------------------------------------------


def test_a_hook_is_told_what_happened_with_the_id(desk: Desk, hook: Hook) -> None:
    assert drain(desk.store, AppriseChannel(CHANNEL)) == 2
    opened, closed = hook.bodies
    assert opened["title"] == "[error, opened] statistics drift failed"
    assert closed["title"] == "[closed] statistics drift failed"
    assert "0.7, expected 0.2-0.4" in opened["message"]
    assert opened["message"].endswith("/opened")
    assert "ok-ml incidents ack" in opened["message"]
    assert (opened["type"], closed["type"]) == ("failure", "success")


def test_a_hook_that_refuses_is_tried_again_after_pauses_that_double(desk: Desk, hook: Hook) -> None:
    hook.status, now = 500, [1000.0]
    channel = AppriseChannel(CHANNEL)
    for pause in (5.0, 10.0, 20.0):
        assert drain(desk.store, channel, clock=lambda: now[0]) == 0
        now[0] += pause - 1
        assert drain(desk.store, channel, clock=lambda: now[0]) == 0
        with desk.store.reading() as transaction:
            first = transaction.waiting("team", 1)[0]
        assert first.problem == "alerts channel team: the message was not taken"
        assert first.due_at == now[0] + 1
        now[0] += 1
    hook.status = 200
    assert drain(desk.store, channel, clock=lambda: now[0]) == 2
    assert [body["message"].rpartition("/")[2] for body in hook.bodies] == ["opened", "closed"]


def test_an_address_that_is_none_is_said_without_showing_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", "secret-token-without-a-scheme")
    with pytest.raises(ServiceUnavailable, match="TEAM_URL holds no address that Apprise knows") as told:
        AppriseChannel(CHANNEL).deliver(desk.store, desk_messages(desk), 0.0)
    assert "secret" not in str(told.value)


def desk_messages(desk: Desk) -> list:
    with desk.store.reading() as transaction:
        return transaction.waiting("team", 1)


def told_after_a_kill_at(step: int, folder: Path, hook: Hook) -> tuple[bool, int]:
    """Whether it was killed, and how often the one message came."""
    desk = Desk(folder, Policy(channels=(TEAM,)))
    desk.look(DRIFT)
    (expected,) = desk.ids("team")
    hook.bodies.clear()
    was_killed = killed_at(step, desk.store.path, "team")
    drain(desk.store, AppriseChannel(CHANNEL), clock=lambda: time.time() + 61)
    ids = [body["message"].rpartition("id: ")[2] for body in hook.bodies]
    assert set(ids) == {expected}, f"killed at step {step}"
    return was_killed, len(ids)


def test_killed_after_the_message_left_a_person_is_told_twice_with_one_id(tmp_path: Path, hook: Hook) -> None:
    # Steps: opened to read 1-2, opened to begin 3-4, begin 5-6, send 7-8, opened to note 9-10, note 11-12.
    assert told_after_a_kill_at(8, tmp_path, hook) == (True, 2)


@pytest.mark.full
def test_killed_at_every_step_a_person_is_told_at_least_once_and_at_most_twice(tmp_path: Path, hook: Hook) -> None:
    found, step = {}, 0
    while not found or found[step][0]:
        step += 1
        found[step] = told_after_a_kill_at(step, tmp_path / str(step), hook)
    assert {count for _, count in found.values()} == {1, 2}
    assert found[step] == (False, 1)


def test_an_unreachable_channel_keeps_nobody_waiting(desk: Desk, hook: Hook, tmp_path: Path) -> None:
    hook.slow_seconds = 1.0
    couriers, path = Couriers(), tmp_path / "alerts.jsonl"
    started = time.monotonic()
    waiting = couriers.send_off(desk.store, [AppriseChannel(CHANNEL), FileChannel(path)], time.time())
    assert time.monotonic() - started < 0.3
    assert waiting == {"file": 2, "team": 2, "topic": 2}
    while not path.exists() or len(lines(path)) < 2:
        assert time.monotonic() - started < 0.9, "the file waited for the hook"
        time.sleep(0.01)
    assert couriers.wait(10)
    assert len(hook.bodies) == 2


def test_without_a_broker_the_topic_waits_and_says_why(desk: Desk, tmp_path: Path) -> None:
    nobody = KafkaConfig(mode="external", bootstrap_servers="127.0.0.1:29849")
    started = time.monotonic()
    assert drain(desk.store, TopicChannel(nobody, "alerts", tmp_path)) == 0
    assert time.monotonic() - started < 1.0
    with desk.store.reading() as transaction:
        assert transaction.waiting("topic", 1)[0].problem == "Kafka at 127.0.0.1:29849 does not answer"
    assert drain(desk.store, FileChannel(tmp_path / "alerts.jsonl")) == 2


def test_two_couriers_do_not_carry_the_same_message(desk: Desk, hook: Hook) -> None:
    hook.slow_seconds = 0.3
    couriers = [Couriers(), Couriers()]
    for one in couriers:
        one.send_off(desk.store, [AppriseChannel(CHANNEL)], time.time())
    assert all(one.wait(10) for one in couriers)
    assert len(hook.bodies) == 2


def test_a_channel_without_an_address_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TEAM.url_env, raising=False)
    monkeypatch.setenv("OTHER_URL", "json://x")
    config = AlertsConfig(channels=(TEAM, CHANNEL.model_copy(update={"name": "other", "url_env": "OTHER_URL"})))
    assert [one.name for one in known_addresses(config)] == ["other"]


@pytest.mark.parametrize("name", ["file", "topic", "Team"])
def test_names_of_channels_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected another name|should match"):
        AlertChannel(name=name, url_env="X")


def test_a_long_list_of_consequences_is_cut() -> None:
    body = {
        "event": "opened",
        "severity": "warn",
        "title": "t",
        "detail": "d",
        "owners": [],
        "opened_at": "now",
        "link": None,
        "acknowledged_by": None,
        "incident": "i",
        "id": "i/opened",
        "consequences": [{"title": f"c{number}", "passed": number == 0} for number in range(9)],
    }
    assert title_of(body) == "[warn, opened] t"
    assert text_of(body).splitlines()[1:7] == ["- c1", "- c2", "- c3", "- c4", "- c5", "- and 3 more"]
