"""The service as an ASGI application: Starlette routes everything, apart from lookups of one entity.

These are answered in front of it: through Starlette's routing, Request and Response a lookup costs a third more. Measured
by the worker's CPU a request over LMDB, 16 connections, median of five rounds in turn on two busy cores: 155 us in front of
Starlette, 198 us through it (150 us as RSGI, granian's own interface, which knows no Starlette). A batch of a thousand
takes 39 ms in each of the three.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from ok_ml.metrics import CONTENT_TYPE
from ok_ml.serving.openapi import (
    ApiRoute,
    BatchLabelPrediction,
    BatchPrediction,
    BatchRequest,
    LabelPrediction,
    ListLength,
    Operation,
    Prediction,
    document,
)
from ok_ml.serving.problems import UNCACHED, Problem, json_response
from ok_ml.serving.readers import Readers
from ok_ml.serving.requests import MAX_BODY_BYTES, MAX_IDS, batch, entity_id, list_length, parameters
from ok_ml.serving.telemetry import PREDICTIONS, Telemetry

BODY_SECONDS: Final = 5.0
_COMMON: Final = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_LOOKUP: Final = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *_COMMON]


class Pages(Protocol):
    """What is served to people in addition to the API."""

    routes: Sequence[BaseRoute]

    def problem(self, problem: Problem) -> Response:
        """What went wrong, as a page."""
        ...


class Service:
    """The ASGI application. Making one does nothing; what it needs is opened on first use.

    Parameters
    ----------
    telemetry
        Takes the time of every request and tells what all processes measured; None: neither.
    """

    def __init__(self, readers: Readers, pages: Pages, telemetry: Telemetry | None = None) -> None:
        self.readers, self._pages, self._telemetry = readers, pages, telemetry
        handlers = {Problem: self._refuse, HTTPException: self._refuse, Exception: self._refuse}
        self._app = Starlette(
            routes=[*self._routes(), *pages.routes], exception_handlers=handlers, lifespan=self._lifespan
        )
        self._app.router.redirect_slashes = False
        self.routes = self._app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and take its time."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, path, status = time.perf_counter(), scope["path"], 500
        answer = self._lookup if path.startswith(PREDICTIONS) and scope["method"] in ("GET", "HEAD") else self._routed
        try:
            status = await answer(scope, receive, send)
        finally:
            if self._telemetry is not None:
                self._telemetry.observe(path, status, time.perf_counter() - started)

    async def _lookup(self, scope: Scope, receive: Receive, send: Send) -> int:
        """The hot path. What is no lookup of one entity is left to the routes."""
        experiment, slash, entity = scope["path"][len(PREDICTIONS) :].partition("/")
        if not slash:
            return await self._routed(scope, receive, send)
        try:
            body = self._document(experiment, entity, scope["query_string"].decode("latin-1"))
        except Problem as problem:
            response = problem.response()
            response.raw_headers += _COMMON
            await response(scope, receive, send)
            return problem.status
        headers = [*_LOOKUP, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return 200

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Everything else; the status is taken on its way out, and the headers of every answer added."""
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_COMMON]
            await send(message)

        await self._app(scope, receive, noted)
        return status

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        exporter = self._telemetry.exporter(self.readers) if self._telemetry is not None else None
        if exporter is not None:
            exporter.start()
        yield
        if exporter is not None:
            exporter.stop()
        self.readers.close()

    def _refuse(self, request: Request, error: Exception) -> Response:
        """Any error as a problem: a page for people, a document for programs."""
        problem = _as_problem(request, error)
        path = request.url.path
        if path.startswith("/v1/") or "text/html" not in request.headers.get("accept", ""):
            return problem.response()
        return self._pages.problem(problem)

    # -- the API -------------------------------------------------------------------------------------------------

    def _routes(self) -> list[BaseRoute]:
        one = Operation(
            "The list of one user, an unknown one getting the fallback list, or the label scores of one text",
            Prediction,
            "The list, best first, or the scores.",
            (400, 404, 500, 503),
            query={"n": ListLength},
            or_else=LabelPrediction,
        )
        many = Operation(
            f"The predictions of up to {MAX_IDS:,} entities, all from the same generation",
            BatchPrediction,
            "One result for each id, in the order asked for.",
            (400, 404, 408, 413, 500, 503),
            BatchRequest,
            or_else=BatchLabelPrediction,
        )
        live = Operation("Whether the process answers", None, "It does.")
        deadman = Operation(
            "Whether Dagster's daemon ticks: for an outside monitor",
            None,
            "The last heartbeat is younger than its limit.",
            (503,),
        )
        metrics = Operation("What every process measures, in Prometheus' text format", None, "All families, each once.")
        return [
            ApiRoute(f"{PREDICTIONS}{{experiment}}/{{entity_id:path}}", self._one, one, name="getPrediction"),
            ApiRoute(f"{PREDICTIONS}{{experiment}}", self._many, many, name="getPredictions", methods=["POST"]),
            ApiRoute("/livez", self._live, live, name="getLiveness"),
            ApiRoute("/deadman", self._deadman, deadman, name="getDeadMan"),
            ApiRoute("/metrics", self._metrics, metrics, name="getMetrics"),
            Route("/openapi.json", self._openapi),
        ]

    def _document(self, experiment: str, entity: str, query_string: str) -> bytes:
        self.readers.reader(experiment)
        wanted = entity_id(entity)
        n = list_length(parameters(query_string, ("n",)).get("n")) if query_string else None
        return self.readers.one(experiment, wanted, n)

    async def _one(self, request: Request) -> Response:
        """The same as `_lookup`, which answers before a request comes here: what is declared, by the usual way."""
        asked = request.path_params
        return json_response(self._document(asked["experiment"], asked["entity_id"], request.url.query))

    async def _many(self, request: Request) -> Response:
        parameters(request.url.query, ())
        entity_ids, n = batch(await body_of(request))
        return json_response(self.readers.many(request.path_params["experiment"], entity_ids, n))

    async def _live(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n", headers=UNCACHED)

    def _metrics(self, _request: Request) -> Response:
        text = self._telemetry.scrape(self.readers) if self._telemetry is not None else b""
        return Response(text, headers=UNCACHED, media_type=CONTENT_TYPE)

    async def _deadman(self, _request: Request) -> Response:
        """200 while the heartbeat through Dagster's daemon is young: for an outside monitor."""
        state = self._telemetry.life() if self._telemetry is not None else None
        if state is not None and state.alive:
            return PlainTextResponse(f"alive: {state.message}\n", headers=UNCACHED)
        detail, remedy = (state.message, state.remedy) if state is not None else ("no heartbeat is watched here", "")
        raise Problem(503, detail, why="without the daemon nothing runs, alerts included", remedy=remedy)

    def _openapi(self, _request: Request) -> Response:
        return json_response(orjson.dumps(document(self.routes, self.readers.experiments)))


def _as_problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if not isinstance(error, HTTPException):
        return Problem(500, f"{type(error).__name__}; the log of the service has the traceback", remedy="report it")
    if error.status_code == 405:
        offered = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
        detail = f"{request.method} is not offered here; offered: {offered}"
        remedy = "see /docs: one entity is asked for by GET with its id in the path, a batch by POST"
        return Problem(405, detail, remedy=remedy, headers={"allow": offered})
    detail = f"nothing is served at {request.url.path[:80]!r}"
    return Problem(error.status_code, detail, remedy="start at / or read /docs")


async def body_of(request: Request) -> bytes:
    """The request's body, capped in size and time. Raises Problem 408 or 413."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large(f"{int(declared):,}")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large(f"more than {MAX_BODY_BYTES:,}")
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS:.0f} s"
        raise Problem(408, detail, remedy="send it again, at once") from None
    return bytes(body)


def _too_large(size: str) -> Problem:
    return Problem(
        413,
        f"the body has {size} bytes; at most {MAX_BODY_BYTES:,} are read",
        why="a batch of 1,000 ids needs less than half of that",
        remedy="send several smaller batches",
    )
