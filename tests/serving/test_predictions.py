"""Predictions over HTTP, from a real server on a real store."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ok_ml.console.monitoring import Views
from ok_ml.console.pages import Console
from ok_ml.serving import app
from ok_ml.serving.openapi import document
from ok_ml.serving.problems import Problem
from ok_ml.serving.readers import Readers, unknown_experiment
from ok_ml.serving.requests import MAX_BODY_BYTES, MAX_IDS
from tests.cli.published import publish
from tests.serving.conftest import Answered, Server

ONE = "/v1/predictions/toy_sources/{}"
MANY = "/v1/predictions/toy_sources"


def description(*experiments: str) -> dict[str, Any]:
    """The description that a service of these experiments publishes; nothing is opened for it."""
    readers = Readers(experiments, lambda: pytest.fail("the storage is opened"))
    return document(service_over(readers).routes, experiments)


def service_over(readers: Readers) -> app.Service:
    return app.Service(readers, Console(readers, Path("plots"), list, Views(pytest.fail, readers.experiments)))


def fits(value: Any, schema: str) -> None:
    """Assert that a value is what the published description says."""
    root = {**description("toy_sources"), "$ref": f"#/components/schemas/{schema}"}
    Draft202012Validator(root).validate(value)


def problem(answered: Answered, status: int, *words: str) -> None:
    assert answered.status == status
    assert answered.headers["content-type"] == "application/problem+json"
    fits(answered.json, "Problem")
    assert answered.json["status"] == status
    assert answered.json["remedy"]
    for word in words:
        assert word in answered.text


# -- one -----------------------------------------------------------------------------------------------------------


def test_a_known_user_gets_their_list_with_names_topics_and_reasons(server: Server) -> None:
    answered = server.get(ONE.format(1))
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["cache-control"] == "no-store"
    fits(answered.json, "Prediction")
    generation = answered.json.pop("generation")
    assert generation.startswith("2026")
    assert answered.json | {"generation": generation} == {
        "experiment": "toy_sources",
        "generation": generation,
        "model_version": "7",
        "scores": "order",
        "entity_id": "1",
        "fallback": False,
        "predictions": [
            {"source_id": "101", "name": "Cats", "topic": "animals", "score": 2.5, "reason": "taste"},
            {"source_id": "102", "name": "Chess", "topic": "games", "score": 1.5, "reason": "popular"},
            {"source_id": "103", "name": "Bread", "topic": None, "score": 0.5, "reason": "friends"},
        ],
    }


@pytest.mark.parametrize("user", [4, -1, 2**63 - 1, -(2**63)])
def test_an_unknown_user_gets_the_fallback_list_marked_as_such(server: Server, user: int) -> None:
    found = server.get(ONE.format(user)).json
    fits(found, "Prediction")
    assert found["entity_id"] == str(user)
    assert found["fallback"] is True
    assert [one["source_id"] for one in found["predictions"]] == ["102", "101"]


def test_a_stored_fallback_list_is_marked_too(server: Server) -> None:
    assert server.get(ONE.format(3)).json["fallback"] is True


def test_n_cuts_the_list_and_changes_nothing_else(server: Server) -> None:
    whole, cut = server.get(ONE.format(1)).json, server.get(f"{ONE.format(1)}?n=2").json
    assert cut == whole | {"predictions": whole["predictions"][:2]}
    assert server.get(f"{ONE.format(1)}?n=100").json == whole


@pytest.mark.parametrize("entity", ["abc", "1.0", "01", "+1", "%201", "1e3", str(2**63), "9" * 400, "", "1/2", "١"])
def test_what_is_no_id_is_refused_instead_of_answered_with_the_fallback(server: Server, entity: str) -> None:
    from urllib.parse import quote

    problem(server.get(ONE.format(quote(entity, safe="%/"))), 400, "is not an entity id")


@pytest.mark.parametrize("query", ["n=0", "n=101", "n=-1", "n=x", "n=", "n=1.5", "n=%31%30%30%30"])
def test_a_length_that_is_no_length_is_refused(server: Server, query: str) -> None:
    problem(server.get(f"{ONE.format(1)}?{query}"), 400, "from 1 to 100")


def test_an_unknown_parameter_is_refused_with_what_was_meant(server: Server) -> None:
    problem(server.get(f"{ONE.format(1)}?N=3"), 400, "unknown parameter 'N'")
    problem(server.get(f"{ONE.format(1)}?nn=3"), 400, "did you mean 'n'?")


def test_an_unknown_experiment_names_the_known_ones(server: Server) -> None:
    answered = server.get("/v1/predictions/toy/1")
    problem(answered, 404, "there is no experiment 'toy'", "toy_sources")
    assert answered.json["known"] == ["toy_sources", "unpublished"]


def test_without_a_generation_the_answer_says_how_to_make_one(server: Server) -> None:
    answered = server.get("/v1/predictions/unpublished/1")
    problem(answered, 503, "unpublished has no generation yet", "ok-ml run unpublished")
    assert answered.headers["retry-after"] == "5"


# -- many ----------------------------------------------------------------------------------------------------------


def test_a_batch_of_a_thousand_is_answered_whole_and_in_order(server: Server) -> None:
    ids = [str(user) for user in range(MAX_IDS)]
    answered = server.post(MANY, {"entity_ids": ids})
    assert answered.status == 200
    fits(answered.json, "BatchPrediction")
    assert [one["entity_id"] for one in answered.json["results"]] == ids
    assert [one["fallback"] for one in answered.json["results"][:5]] == [True, False, False, True, True]


def test_a_batch_says_what_single_requests_say(server: Server) -> None:
    results = server.post(MANY, {"entity_ids": [1, "2", 1, "77"], "n": 1}).json["results"]
    for result, user in zip(results, (1, 2, 1, 77), strict=True):
        single = server.get(f"{ONE.format(user)}?n=1").json
        assert result == {name: single[name] for name in ("entity_id", "fallback", "predictions")}


def test_an_empty_batch_has_an_empty_answer(server: Server) -> None:
    answered = server.post(MANY, {"entity_ids": []})
    fits(answered.json, "BatchPrediction")
    assert answered.json["results"] == []


def test_one_id_too_many_is_refused(server: Server) -> None:
    problem(server.post(MANY, {"entity_ids": list(range(MAX_IDS + 1))}), 413, "1,001 ids", "at most 1,000")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1, 2]", "no list `entity_ids`"),
        (b'{"entity_ids": "1"}', "no list `entity_ids`"),
        (b'{"entity_ids": [true]}', "'True' is not an entity id"),
        (b'{"entity_ids": [1.5]}', "'1.5' is not an entity id"),
        (b'{"entity_ids": [null]}', "'None' is not an entity id"),
        (b'{"entity_ids": [[1]]}', "is not an entity id"),
        (b'{"entity_ids": [9223372036854775808]}', "is not an entity id"),
        (b'{"entity_ids": ["1"], "n": true}', "n is 'True'"),
        (b'{"entity_ids": ["1"], "limit": 3}', "unknown member 'limit'"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "not JSON"),
    ],
)
def test_a_malformed_batch_is_refused_with_the_reason(server: Server, body: bytes, words: str) -> None:
    problem(server.post(MANY, body), 400, words)


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(server: Server) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    problem(server.post(MANY, body), 413, "65,537 bytes")
    connection_body = iter([body[:40_000], body[:40_000]])
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)
    connection.request("POST", MANY, connection_body, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 413
    connection.close()


def test_a_header_block_that_is_too_large_is_refused(server: Server) -> None:
    assert server.get(ONE.format(1), x_filler="a" * 20_000).status == 431
    assert server.get(ONE.format(1)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", ONE.format(1), "GET, HEAD"),
        ("GET", MANY, "POST"),
        ("DELETE", MANY, "POST"),
        ("PUT", "/health", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_offered_is_refused_with_those_that_are(
    server: Server, method: str, path: str, allow: str
) -> None:
    answered = server.get(path, method)
    problem(answered, 405, f"{method} is not offered here")
    assert answered.headers["allow"] == allow


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["entity_ids", "n", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
def test_whatever_json_is_sent_the_answer_is_an_answer_or_a_problem(server: Server, value: Any) -> None:
    body = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS) if _fits_64_bits(value) else repr(value).encode()
    answered = server.post(MANY, body)
    if answered.status == 200:
        fits(answered.json, "BatchPrediction")
        assert len(answered.json["results"]) == len(value["entity_ids"])
    else:
        problem(answered, 400)


def _fits_64_bits(value: Any) -> bool:
    try:
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        return False
    return True


# -- a body that never comes -----------------------------------------------------------------------------------------


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(10)

    with pytest.raises(Problem, match="did not arrive") as caught:
        asyncio.run(app.body_of(SimpleNamespace(headers={}, stream=slow)))
    assert caught.value.status == 408


# -- the way in front of Starlette ----------------------------------------------------------------------------------


class FixedReaders(Readers):
    """One experiment, whose every list is the same."""

    def reader(self, experiment: str) -> Any:
        if experiment != "toy":
            raise unknown_experiment(experiment, self.experiments)

    def one(self, experiment: str, entity_id: int, n: int | None) -> bytes:
        return orjson.dumps({"experiment": experiment, "entity_id": str(entity_id), "n": n})


async def sent(answer: Any, method: str, path: str, query: str) -> tuple[int, dict[bytes, bytes], bytes]:
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await answer(scope, receive, send)
    return messages[0]["status"], dict(messages[0]["headers"]), b"".join(one.get("body", b"") for one in messages)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [("GET", "toy/7", ""), ("GET", "toy/7", "n=3"), ("HEAD", "toy/-1", ""), ("GET", "toy/x", ""), ("GET", "no/7", ""),
     ("GET", "toy/7", "n=0"), ("GET", "toy/7/8", ""), ("GET", "toy", ""), ("POST", "toy/7", "")],
)  # fmt: skip
def test_a_lookup_in_front_of_starlette_is_answered_as_behind_it(method: str, path: str, query: str) -> None:
    readers = FixedReaders(["toy"], lambda: pytest.fail("the storage is opened"))
    service = service_over(readers)
    front = asyncio.run(sent(service, method, f"/v1/predictions/{path}", query))
    behind = asyncio.run(sent(service._routed, method, f"/v1/predictions/{path}", query))
    assert front == behind
    assert front[0] in (200, 400, 404, 405)


def test_a_head_of_a_lookup_has_the_headers_and_no_body(server: Server) -> None:
    whole, head = server.get(ONE.format(1)), server.get(ONE.format(1), "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


# -- generations ---------------------------------------------------------------------------------------------------


def test_a_request_after_a_switch_gets_the_new_generation(server: Server) -> None:
    before = server.get(ONE.format(1)).json
    name = publish(server.root, int(time.time() * 1000), model_version=8)
    after = server.get(ONE.format(1)).json
    assert before["generation"] != after["generation"] == name
    assert (before["model_version"], after["model_version"]) == ("7", "8")
    assert before["predictions"] == after["predictions"]
    assert server.post(MANY, {"entity_ids": [1]}).json["generation"] == name


# -- description ---------------------------------------------------------------------------------------------------


def test_the_description_is_valid_and_served(server: Server) -> None:
    found = server.get("/openapi.json").json
    validate(found)
    assert found == orjson.loads(orjson.dumps(description("toy_sources", "unpublished")))
    for path, operations in found["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path


def test_a_second_server_on_the_port_is_refused(server: Server) -> None:
    command = [sys.executable, "-m", "ok_ml.console.server", "--project", str(server.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3
    assert f"the service cannot bind 127.0.0.1:{server.port}" in done.stderr
    assert "every other request would go to the other one" in done.stderr


def test_the_service_imports_nothing_heavy() -> None:
    heavy = ("dagster", "mlflow", "pyspark", "pandas", "pyarrow", "lightgbm", "great_expectations")
    source = f"import sys, ok_ml.console.server; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
