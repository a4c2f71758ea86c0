"""The service as a raw RSGI application: routes, bodies, and nothing that blocks for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from ok_ml.delivery.storage import PredictionStore
from ok_ml.metric_files import Exporter
from ok_ml.metrics import CONTENT_TYPE
from ok_ml.serving.files import picture, style_sheet
from ok_ml.serving.health import StatusItem, report
from ok_ml.serving.health_page import health_page
from ok_ml.serving.home import HomeView, home_page
from ok_ml.serving.http import PLAIN, Problem, Response, json_response, page_response
from ok_ml.serving.layout import Neighbours, error_page
from ok_ml.serving.monitoring import Views
from ok_ml.serving.monitoring_page import PATH, feature_page, monitoring_page
from ok_ml.serving.openapi import document
from ok_ml.serving.readers import Readers, answered, nothing_published
from ok_ml.serving.requests import MAX_BODY_BYTES, batch, entity_id, list_length, query
from ok_ml.serving.telemetry import Telemetry

BODY_SECONDS: Final = 5.0
HEALTH_SECONDS: Final = 3.0
PREFIX: Final = "/v1/predictions/"
_EXAMPLES: Final = 8


@dataclass(frozen=True)
class Deployment:
    """What one service serves.

    Attributes
    ----------
    open_store
        Opens the storage; called in the process that answers, on first use.
    watch
        Looks at everything and returns its state; may block for some seconds, so it runs in a thread.
    first_examples
        Ids to offer on the page before those that the storage knows, by experiment.
    telemetry
        Takes the time of every request and tells what all processes measured; None: neither.
    monitoring
        The numbers by day; without it there is no such page.
    """

    experiments: tuple[str, ...]
    plots: Path
    open_store: Callable[[], PredictionStore]
    watch: Callable[[Readers], list[StatusItem]]
    first_examples: Callable[[str], list[int]] = lambda _experiment: []
    neighbours: Neighbours = field(default_factory=Neighbours)
    monitoring: Views | None = None
    telemetry: Telemetry | None = None


class Service:
    """The RSGI application. Making one does nothing; what it needs is opened on first use."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.readers = Readers(deployment.experiments, deployment.open_store)
        self._board = _Board(lambda: deployment.watch(self.readers))
        self._observe = deployment.telemetry.observe if deployment.telemetry is not None else None
        self._exporter: Exporter | None = None
        self._routes: dict[str, Callable[[Any], Awaitable[Response]]] = {
            "/": self._home,
            "/health": self._health,
            "/health.json": self._health_json,
            "/livez": self._live,
            "/metrics": self._metrics,
            "/deadman": self._deadman,
            "/openapi.json": self._openapi,
            "/static/style.css": self._style,
        }

    def __rsgi_init__(self, _loop: asyncio.AbstractEventLoop) -> None:
        telemetry = self.deployment.telemetry
        self._exporter = telemetry.exporter(self.readers) if telemetry is not None else None
        if self._exporter is not None:
            self._exporter.start()

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        if self._exporter is not None:
            self._exporter.stop()
        self.readers.close()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        started = time.perf_counter()
        path = scope.path
        try:
            if path.startswith(PREFIX):
                response = await self._predictions(scope, protocol, path)
            else:
                response = await self._other(scope, path)
        except Problem as problem:
            response = self._refusal(scope, path, problem)
        headers = response.header_list()
        if scope.method == "HEAD":
            protocol.response_empty(response.status, [*headers, ("content-length", str(len(response.body)))])
        else:
            protocol.response_bytes(response.status, headers, response.body)
        if self._observe is not None:
            self._observe(path, response.status, time.perf_counter() - started)

    # -- predictions -------------------------------------------------------------------------------------------

    async def _predictions(self, scope: Any, protocol: Any, path: str) -> Response:
        experiment, slash, entity = path[len(PREFIX) :].partition("/")
        if slash:
            _require_method(scope, "GET", "HEAD")
            return self._one(experiment, entity, scope.query_string)
        _require_method(
            scope, "POST", hint=f"one entity is asked for by GET {PREFIX}{experiment}/<id>, a batch by POST"
        )
        query(scope.query_string, ())
        entity_ids, n = batch(await _body(scope, protocol))
        return json_response(self.readers.many(experiment, entity_ids, n))

    def _one(self, experiment: str, entity: str, query_string: str) -> Response:
        self.readers.reader(experiment)
        wanted = entity_id(entity)
        n = list_length(query(query_string, ("n",)).get("n")) if query_string else None
        return json_response(self.readers.one(experiment, wanted, n))

    # -- everything else -----------------------------------------------------------------------------------------

    async def _other(self, scope: Any, path: str) -> Response:
        _require_method(scope, "GET", "HEAD")
        route = self._routes.get(path)
        if route is not None:
            return await route(scope)
        if path == PATH or path.startswith(f"{PATH}/"):
            return await self._monitoring(scope, path.removeprefix(PATH).strip("/"))
        if path.startswith("/plots/"):
            return await asyncio.to_thread(picture, self.deployment.plots, path.removeprefix("/plots/"))
        raise Problem(404, f"nothing is served at {path[:80]!r}", remedy="start at / or read /openapi.json")

    async def _home(self, scope: Any) -> Response:
        asked = query(scope.query_string, ("experiment", "user"))
        return page_response(home_page(self._home_view(asked)))

    def _home_view(self, asked: dict[str, str]) -> HomeView:
        names = list(self.deployment.experiments)
        experiment, user = asked.get("experiment") or next(iter(names), ""), asked.get("user", "").strip()
        view: dict[str, Any] = {"experiments": names, "experiment": experiment, "user": user}
        try:
            reader = self.readers.reader(experiment)
            manifest = answered(reader.describe)
            if manifest is None:
                raise nothing_published(experiment)
            view["generation_age_seconds"] = max(0.0, time.time() - manifest.sealed_at)
            view["details"] = manifest.details
            view["examples"] = self._examples(experiment, answered(lambda: reader.example_ids(_EXAMPLES)))
            if user:
                view["answer"] = orjson.loads(self.readers.one(experiment, entity_id(user), None))
        except Problem as problem:
            view["problem"] = problem
        return HomeView(**view, neighbours=self.deployment.neighbours)

    def _examples(self, experiment: str, known: list[int | str]) -> list[int | str]:
        first: list[int | str] = [*self.deployment.first_examples(experiment)]
        return list(dict.fromkeys([*first, *known]))[:_EXAMPLES]

    async def _monitoring(self, scope: Any, experiment: str) -> Response:
        """The numbers of an experiment by day, or of one of its features."""
        views, neighbours = self.deployment.monitoring, self.deployment.neighbours
        wanted = query(scope.query_string, ("feature",)).get("feature")
        known = list(views.experiments) if views is not None else []
        name = experiment or next(iter(known), "")
        if views is None or name not in known:
            raise Problem(
                404,
                f"there is no experiment {name[:60]!r}; known: {', '.join(known) or 'none'}",
                remedy="use one of the known names",
            )
        view = await asyncio.to_thread(views.of, name)
        if wanted is None:
            return page_response(monitoring_page(view, neighbours=neighbours))
        one = next((found for found in view.board.features if found.anchor == wanted), None)
        if one is None:
            raise Problem(404, f"{name} has no feature {wanted[:80]!r} on its newest day", remedy=f"see {PATH}/{name}")
        return page_response(feature_page(view, one, neighbours=neighbours))

    async def _health(self, _scope: Any) -> Response:
        return page_response(health_page(await self._board.items(), neighbours=self.deployment.neighbours))

    async def _health_json(self, _scope: Any) -> Response:
        return json_response(orjson.dumps(report(await self._board.items())))

    async def _live(self, _scope: Any) -> Response:
        return Response(200, PLAIN, b"alive\n", [("cache-control", "no-store")])

    async def _metrics(self, _scope: Any) -> Response:
        telemetry = self.deployment.telemetry
        text = await asyncio.to_thread(telemetry.scrape, self.readers) if telemetry is not None else b""
        return Response(200, CONTENT_TYPE, text, [("cache-control", "no-store")])

    async def _deadman(self, _scope: Any) -> Response:
        """200 while the heartbeat through Dagster's daemon is young: for whoever watches from outside."""
        found = self.deployment.telemetry.life() if self.deployment.telemetry is not None else None
        if found is not None and found.alive:
            return Response(200, PLAIN, f"alive: {found.message}\n".encode(), [("cache-control", "no-store")])
        detail = found.message if found is not None else "this service watches no heartbeat"
        raise Problem(503, detail, why="nobody else would notice", remedy=found.remedy if found is not None else "")

    async def _openapi(self, _scope: Any) -> Response:
        return json_response(orjson.dumps(document(self.deployment.experiments)))

    async def _style(self, _scope: Any) -> Response:
        return style_sheet()

    def _refusal(self, scope: Any, path: str, problem: Problem) -> Response:
        if path.startswith("/v1/") or "text/html" not in scope.headers.get("accept", ""):
            return problem.response()
        text = error_page(
            problem.status, problem.title, problem.detail, problem.remedy, neighbours=self.deployment.neighbours
        )
        return page_response(text, status=problem.status, headers=problem.headers)


class _Board:
    """The latest look at everything, at most `HEALTH_SECONDS` old; one look at a time, in a thread."""

    def __init__(self, look: Callable[[], list[StatusItem]]) -> None:
        self._look, self._lock = look, asyncio.Lock()
        self._items: list[StatusItem] = []
        self._at = float("-inf")

    async def items(self) -> list[StatusItem]:
        async with self._lock:
            if time.monotonic() - self._at > HEALTH_SECONDS:
                self._items = await asyncio.to_thread(self._look)
                self._at = time.monotonic()
            return self._items


def _require_method(scope: Any, *allowed: str, hint: str = "") -> None:
    if scope.method not in allowed:
        raise Problem(
            405,
            f"{scope.method} is not offered here; offered: {', '.join(allowed)}",
            remedy=hint or "see /openapi.json",
            headers=[("allow", ", ".join(allowed))],
        )


async def _body(scope: Any, protocol: Any) -> bytes:
    """The request's body, capped in size and time."""
    declared = scope.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large(f"{int(declared):,}")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in protocol:
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise _too_large(f"more than {MAX_BODY_BYTES:,}")
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(
            408, f"the body did not arrive within {BODY_SECONDS:.0f} s", remedy="send it again, at once"
        ) from None
    return b"".join(chunks)


def _too_large(size: str) -> Problem:
    return Problem(
        413,
        f"the body has {size} bytes; at most {MAX_BODY_BYTES:,} are read",
        why="a batch of 1,000 ids needs less than half of that",
        remedy="send several smaller batches",
    )
