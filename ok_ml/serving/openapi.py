"""The description of the API as OpenAPI 3.1, made from the same limits and names that the code uses."""

from collections.abc import Sequence
from typing import Any, Final

from ok_ml.columns import REASON_NAMES
from ok_ml.serving.health import STATES
from ok_ml.serving.requests import MAX_IDS, MAX_N

API_VERSION: Final = "1.0.0"
_ID: Final = {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,18})$", "description": "int64 in decimal digits"}
_N: Final = {"type": "integer", "minimum": 1, "maximum": MAX_N, "description": "At most so many sources."}


def document(experiments: Sequence[str]) -> dict[str, Any]:
    """The whole description; the experiments that are served are its examples."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ok_ml predictions",
            "version": API_VERSION,
            "description": "Recommended sources by user id. Every answer is whole from one generation.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/v1/predictions/{experiment}/{entity_id}": {"get": _one(experiments)},
            "/v1/predictions/{experiment}": {"post": _many(experiments)},
            "/health.json": {"get": _health()},
            "/livez": {"get": _live()},
            "/deadman": {"get": _deadman()},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": _schemas()},
    }


# -- paths -------------------------------------------------------------------------------------------------------


def _one(experiments: Sequence[str]) -> dict[str, Any]:
    entity = {"name": "entity_id", "in": "path", "required": True, "schema": _ID}
    wanted = {"name": "n", "in": "query", "required": False, "schema": _N}
    return {
        "operationId": "getPrediction",
        "summary": "The list of one user; an unknown user gets the fallback list, marked as such",
        "parameters": [_experiment(experiments), entity, wanted],
        "responses": {"200": _json("The list, best first.", "Prediction"), **_problems("400", "404", "500", "503")},
    }


def _many(experiments: Sequence[str]) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _ref("BatchRequest")}}}
    problems = _problems("400", "404", "408", "413", "500", "503")
    return {
        "operationId": "getPredictions",
        "summary": f"The lists of up to {MAX_IDS:,} users, all from the same generation",
        "parameters": [_experiment(experiments)],
        "requestBody": body,
        "responses": {"200": _json("One result for each id, in the order asked for.", "BatchPrediction"), **problems},
    }


def _health() -> dict[str, Any]:
    return {
        "operationId": "getHealth",
        "summary": "The state of every part, worst first",
        "responses": {"200": _json("What was seen at most a few seconds ago.", "HealthReport")},
    }


def _live() -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "getLiveness",
        "summary": "Whether the process answers",
        "responses": {"200": {"description": "It does.", "content": content}},
    }


def _deadman() -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    alive = {"description": "The last heartbeat is younger than its limit.", "content": content}
    return {
        "operationId": "getDeadMan",
        "summary": "Whether Dagster's daemon ticks: for whoever watches from outside",
        "responses": {"200": alive, **_problems("503")},
    }


def _metrics() -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "getMetrics",
        "summary": "What every process measures, in Prometheus' text format",
        "responses": {"200": {"description": "All families, each once.", "content": content}},
    }


def _experiment(experiments: Sequence[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if experiments:
        schema["examples"] = list(experiments)
    return {"name": "experiment", "in": "path", "required": True, "schema": schema}


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _problems(*statuses: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {status: {"description": "What is wrong, why, and what to do.", "content": content} for status in statuses}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


# -- schemas -----------------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    head = {
        "experiment": {"type": "string"},
        "generation": {"type": "string", "description": "Name of the generation that the whole answer is from."},
        "model_version": {"type": "string", "description": "Version of the model that made it."},
    }
    result = {
        "entity_id": _ID,
        "fallback": {"type": "boolean", "description": "Whether it is the list for users without history."},
        "predictions": {"type": "array", "items": _ref("Source")},
    }
    return {
        "Prediction": _object({**head, **result}),
        "BatchPrediction": _object({**head, "results": {"type": "array", "items": _ref("Result")}}),
        "Result": _object(result),
        "Source": _object(_source()),
        "BatchRequest": _object(_batch_request(), optional=("n",)),
        "Problem": {**_object(_problem()), "additionalProperties": True},
        "HealthReport": _object(_report()),
        "StatusItem": _object(_status_item()),
    }


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def _source() -> dict[str, Any]:
    return {
        "source_id": _ID,
        "name": {"type": ["string", "null"]},
        "topic": {"type": ["string", "null"]},
        "score": {"type": "number", "description": "Score of the model; comparable within one list."},
        "reason": {"enum": list(REASON_NAMES), "description": "How the source came into the list."},
    }


def _batch_request() -> dict[str, Any]:
    either = {"oneOf": [_ID, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}]}
    return {"entity_ids": {"type": "array", "maxItems": MAX_IDS, "items": either}, "n": _N}


def _problem() -> dict[str, Any]:
    return {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, expected and received."},
        "why": {"type": "string"},
        "remedy": {"type": "string", "description": "What to do."},
    }


def _report() -> dict[str, Any]:
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    return {
        "state": {"enum": list(STATES), "description": "The worst of all."},
        "counts": counts,
        "written_at": {"type": "string", "format": "date-time"},
        "items": {"type": "array", "items": _ref("StatusItem")},
    }


def _status_item() -> dict[str, Any]:
    text = {"type": ["string", "null"]}
    return {
        "name": {"type": "string"},
        "kind": {"type": "string"},
        "state": {"enum": list(STATES)},
        "age_seconds": {"type": ["number", "null"]},
        "owner": text,
        "message": {"type": "string"},
        "link": text,
    }
