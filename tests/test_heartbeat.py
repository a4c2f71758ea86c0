"""The dead-man's switch: what a missing mark means, and the call to whoever waits outside."""

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ok_ml.errors import ConfigError
from ok_ml.heartbeat import FILE, Heartbeat, address_outside, life, ping, read_heartbeat, write_heartbeat


def test_a_young_mark_is_life_and_an_old_one_is_not(tmp_path: Path) -> None:
    beat = Heartbeat(1000.0, {"toy": "2026-01-31"}, {"id": "r", "status": "SUCCESS"}, "ok")
    write_heartbeat(tmp_path, beat)
    assert read_heartbeat(tmp_path) == beat
    young, old = life(tmp_path, 180.0, now=1180.0), life(tmp_path, 180.0, now=1181.0)
    assert (young.alive, young.age_seconds, young.message) == (True, 180.0, "the last heartbeat came 180 s ago")
    assert not old.alive
    assert "181 s ago, limit 180 s: Dagster's daemon does not tick" in old.message
    assert "ok-ml ui" in old.remedy


def test_no_mark_at_all_and_a_broken_one_are_no_life(tmp_path: Path) -> None:
    assert not life(tmp_path, 180.0).alive
    assert "no heartbeat has ever come" in life(tmp_path, 180.0).message
    for content in (b"", b"{", b"[]", b'{"what": 1}'):
        (tmp_path / FILE).write_bytes(content)
        assert not life(tmp_path, 180.0).alive


def test_an_address_that_is_named_but_not_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OK_TEST_URL", raising=False)
    assert address_outside(None) is None
    with pytest.raises(ConfigError, match=r"heartbeat\.url_env names OK_TEST_URL, which is not set"):
        address_outside("OK_TEST_URL")
    monkeypatch.setenv("OK_TEST_URL", "file:///etc/passwd")
    with pytest.raises(ConfigError, match="holds no http address") as refused:
        address_outside("OK_TEST_URL")
    assert "passwd" not in str(refused.value)


class Outside(http.server.ThreadingHTTPServer):
    status, pause = 200, 0.0
    calls = 0


class Answer(http.server.BaseHTTPRequestHandler):
    server: Outside

    def do_GET(self) -> None:
        self.server.calls += 1
        time.sleep(self.server.pause)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_call_outside_says_what_became_of_it_and_keeps_the_address(outside: Outside) -> None:
    url = f"http://127.0.0.1:{outside.server_port}/secret-check-id"
    assert ping(url) == "ok"
    outside.status = 404
    assert ping(url) == "answered 404"
    outside.status, outside.pause = 200, 0.6
    assert ping(url, timeout_seconds=0.2) == "does not answer: TimeoutError"
    assert outside.calls == 3
    assert "secret" not in ping("http://127.0.0.1:1/secret-check-id")
