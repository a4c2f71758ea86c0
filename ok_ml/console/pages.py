"""The addresses of the pages and of /health.json: what each of them gathers, and the template that shows it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ok_ml.config.models import Project
from ok_ml.console.files import Files, Pictures
from ok_ml.console.health import HealthReport, StatusItem, report
from ok_ml.console.health_view import STATE_WORDS, health_view
from ok_ml.console.home import REASON_WORDS, home_view
from ok_ml.console.monitoring import MonitoringView, Views, monitoring_view
from ok_ml.console.monitoring_view import (
    BY_DAY_HEAD,
    TABLE_TITLES,
    blocked_days,
    feature_in_full,
    feature_rows,
    line_rows,
)
from ok_ml.console.render import PAGE_POLICY, render
from ok_ml.console.watch import look
from ok_ml.serving.openapi import ApiRoute, Operation, document
from ok_ml.serving.problems import UNCACHED, Problem, json_response
from ok_ml.serving.readers import Readers, unknown_experiment
from ok_ml.serving.requests import parameters

HEALTH_SECONDS: Final = 3.0
_FIRST_ROWS: Final = 12  # of a table on the monitoring page; the others are folded


@dataclass
class Console:
    """The pages of one service.

    Attributes
    ----------
    watch
        Looks at everything and returns its state; may block for some seconds, so it runs in a thread.
    views
        The numbers by day.
    first_examples
        Ids to offer on the first page before those that the storage knows, by experiment.
    neighbours
        Other pages of this deployment: label -> URL.
    """

    readers: Readers
    plots: Path
    watch: Callable[[], list[StatusItem]]
    views: Views
    first_examples: Callable[[str], list[int]] = lambda _experiment: []
    neighbours: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._board = _Board(self.watch)
        health = Operation(
            "The state of every component, worst first", HealthReport, "What was seen at most a few seconds ago."
        )
        self.routes: Sequence[BaseRoute] = [
            Route("/", self._home),
            Route("/health", self._health),
            ApiRoute("/health.json", self._health_json, health, name="getHealth"),
            Route("/monitoring", self._monitoring),
            Route("/monitoring/{experiment:path}", self._monitoring),
            Route("/docs", self._docs),
            Mount("/static", Files(directory=Path(__file__).parent / "static")),
            Mount("/plots", Pictures(directory=self.plots, check_dir=False)),
        ]

    @classmethod
    def of(cls, project: Project, readers: Readers) -> "Console":
        """The pages of a project. Opens nothing."""
        local = {"Dagster": project.environment.dagster.port, "MLflow": project.environment.mlflow.port}
        return cls(
            readers,
            project.state_dir / "plots",
            partial(look, project, readers),
            Views(partial(monitoring_view, project), readers.experiments),
            partial(example_of_last_run, project.state_dir),
            {name: f"http://127.0.0.1:{port}/" for name, port in local.items()}
            if project.environment.dagster.home
            else {},
        )

    def problem(self, problem: Problem) -> Response:
        """What went wrong, for a person."""
        return self._page("error.html", current="", status=problem.status, headers=problem.headers, problem=problem)

    def _page(
        self,
        template: str,
        *,
        current: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **view: Any,
    ) -> Response:
        text = render(template, current=current, neighbours=self.neighbours, **view)
        policy = {"content-security-policy": PAGE_POLICY, **UNCACHED, **(headers or {})}
        return HTMLResponse(text, status, policy)

    async def _home(self, request: Request) -> Response:
        asked = parameters(request.url.query, ("experiment", "user"))
        experiment = asked.get("experiment") or next(iter(self.readers.experiments), "")
        view = home_view(self.readers, experiment, asked.get("user", "").strip(), self.first_examples(experiment))
        return self._page("home.html", current="/", view=view, reasons=REASON_WORDS)

    async def _health(self, _request: Request) -> Response:
        view = health_view(await self._board.items())
        return self._page("health.html", current="/health", view=view, words=STATE_WORDS)

    async def _health_json(self, _request: Request) -> Response:
        return json_response(orjson.dumps(report(await self._board.items())))

    def _monitoring(self, request: Request) -> Response:
        """The numbers of an experiment by day, or of one of its features."""
        wanted = parameters(request.url.query, ("feature",)).get("feature")
        known = self.views.experiments
        name = request.path_params.get("experiment", "").strip("/") or next(iter(known), "")
        if name not in known:
            raise unknown_experiment(name, known)
        view = self.views.of(name)
        if wanted is None:
            return self._page("monitoring.html", current="/monitoring", **monitored(view))
        one = next((feature for feature in view.board.features if feature.anchor == wanted), None)
        if one is None:
            detail = f"{name} has no feature {wanted[:80]!r} on its newest day"
            raise Problem(404, detail, remedy=f"see /monitoring/{name}")
        row = feature_in_full(view, one)
        return self._page("feature.html", current="/monitoring", view=view, row=row, head=BY_DAY_HEAD)

    def _docs(self, request: Request) -> Response:
        experiments = self.readers.experiments
        return self._page(
            "docs.html",
            current="/docs",
            api=document(request.app.routes, experiments),
            base=str(request.base_url).rstrip("/"),
            experiment=next(iter(experiments), "EXPERIMENT"),
        )


def monitored(view: MonitoringView) -> dict[str, Any]:
    """What monitoring.html shows of one experiment."""
    tables = [
        (
            f"{TABLE_TITLES.get(table.table, table.table)}: {table.scope}/{table.table}",
            f"{table.scope}-{table.table}",
            line_rows(view, table.lines),
        )
        for table in view.tables
    ]
    shown = {"features": feature_rows(view), "tables": tables, "blocked": blocked_days(view)}
    return {"view": view, "first": _FIRST_ROWS, **shown}


def example_of_last_run(state_dir: Path, experiment: str) -> list[int]:
    """The example user that the last run of an experiment recorded, if there is one."""
    try:
        summary = orjson.loads((state_dir / "runs" / "last.json").read_bytes())
        return [int(summary["example_user"])] if summary.get("experiment") == experiment else []
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return []


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
