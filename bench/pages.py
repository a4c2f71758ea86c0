"""Which pages are taken, what must be on them, and how each is brought into view."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from urllib.request import Request, urlopen

import orjson

from bench.browser import HEIGHT, WIDTH, PictureFailed
from ok_ml import columns as c
from ok_ml.errors import UsageError

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from ok_ml.config.models import Project

_SIDEBAR: Final = 300  # of the asset graph, which is laid out for the width beside it and not again when it is closed
_STATUS_MS: Final = 4_000  # Dagster asks for the states of visible assets some time after it has drawn them
_DRAWN_SECONDS: Final = 10
_LOADED: Final = "img => img.complete && img.naturalWidth > 0"


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes
    ----------
    name
        The file's name, without `.png`.
    prepare
        Waits for what must be there and brings it into view; raises PictureFailed or playwright's timeout.
    width
        Of the window while the page is laid out.
    """

    name: str
    url: Callable[[], str]
    prepare: "Callable[[Page], None]"
    width: int = WIDTH


def pictures(project: "Project", experiment: str) -> list[Picture]:
    """Every picture of an experiment, in the order in which they are taken."""
    environment = project.environment
    dagster, mlflow = f"http://127.0.0.1:{environment.dagster.port}", f"http://127.0.0.1:{environment.mlflow.port}"
    service = f"http://{environment.service.host}:{environment.service.port}"
    asset = f"{dagster}/assets/{experiment}"
    return [
        Picture("graph", lambda: graph_url(dagster, experiment), _graph("4_serving"), WIDTH + _SIDEBAR),
        Picture(
            "graph_expanded", lambda: graph_url(dagster, experiment, "3_training"), _graph("champion"), WIDTH + _SIDEBAR
        ),
        Picture("asset_statistics", lambda: f"{asset}/{c.FEATURE_STATISTICS}", _asset_with_plot),
        Picture("asset_model", lambda: f"{asset}/model", _asset_with_plot),
        Picture("checks", lambda: f"{asset}/{c.FEATURE_STATISTICS}?view=checks", _checks),
        Picture("served", lambda: f"{service}/?experiment={experiment}", _served),
        Picture("health", lambda: f"{service}/health", _health),
        Picture("mlflow", lambda: f"{mlflow}/#/{newest_training(mlflow, experiment)}", _mlflow),
    ]


def pictured_experiment(project: "Project") -> str:
    """The first experiment that is released by itself: what `make run` runs."""
    names = [name for name, config in sorted(project.experiments.items()) if config.release.cycle == "automatic"]
    if not names:
        raise UsageError(
            "no experiment has release.cycle automatic", why="the pictures show one that goes on by itself"
        )
    return names[0]


# -- Dagster -------------------------------------------------------------------------------------------------------


def graph_url(dagster: str, experiment: str, *expanded: str) -> str:
    """The graph of an experiment with everything that it is made from; some top groups unfolded down to the assets."""
    selection = quote(f'+tag:"experiment"="{experiment}"', safe="")
    groups = [f"global@global:{name}" for group in expanded for name in (group, f"{group}/{experiment}")]
    return f"{dagster}/asset-groups~{selection}/" + (f"?expanded={quote(','.join(groups), safe='')}" if groups else "")


def _graph(last_node: str) -> "Callable[[Page], None]":
    def prepare(page: "Page") -> None:
        page.locator("svg foreignObject", has_text=last_node).first.wait_for()
        page.get_by_text("fetching statuses").first.wait_for(state="detached")
        page.locator("button:has([aria-label='panel_show_right'])").last.click()
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        page.wait_for_timeout(_STATUS_MS)

    return prepare


def _asset_with_plot(page: "Page") -> None:
    """The page from its metadata on, with the first plot in view."""
    page.get_by_text("Latest materialization", exact=True).first.wait_for()
    plot = page.locator("img[src*='/plots/']").first
    plot.wait_for(state="attached")
    plot.scroll_into_view_if_needed()
    _wait_until_drawn(page, plot)
    plot.evaluate("img => img.scrollIntoView({block: 'center'})")


def _wait_until_drawn(page: "Page", plot: "Locator") -> None:
    """Ask again and again: Dagster's content policy forbids what playwright's own waiting does."""
    for _ in range(_DRAWN_SECONDS * 10):
        if plot.evaluate(_LOADED):
            return
        page.wait_for_timeout(100)
    raise PictureFailed(f"the plot {plot.get_attribute('src')} is not drawn")


def _checks(page: "Page") -> None:
    page.get_by_text("Evaluation result", exact=True).first.wait_for()


# -- the service and MLflow ------------------------------------------------------------------------------------------


def _served(page: "Page") -> None:
    """The list of the first user that the page offers."""
    page.locator("a[href*='user=']").first.click()
    page.locator("ol.served li").first.wait_for()


def _health(page: "Page") -> None:
    page.get_by_role("heading", name="Health", exact=True).wait_for()


def _mlflow(page: "Page") -> None:
    page.get_by_text("About this run").wait_for()
    page.get_by_text("Registered models").first.wait_for()


def newest_training(mlflow: str, experiment: str) -> str:
    """Path of the newest finished run that logged a model of an experiment. Raises PictureFailed if there is none."""
    experiments = _ask(mlflow, "experiments/search", {"max_results": 100}).get("experiments", [])
    wanted = {
        "experiment_ids": [found["experiment_id"] for found in experiments],
        "max_results": 1,
        "filter": f"tags.`ok_ml.experiment` = '{experiment}' AND attributes.status = 'FINISHED'",
        "order_by": ["attributes.start_time DESC"],
    }
    runs = _ask(mlflow, "runs/search", wanted).get("runs", []) if experiments else []
    if not runs:
        raise PictureFailed(f"MLflow has no finished run that logged a model of {experiment}")
    info = runs[0]["info"]
    return f"experiments/{info['experiment_id']}/runs/{info['run_id']}"


def _ask(mlflow: str, what: str, body: dict[str, object]) -> dict[str, list[dict[str, dict[str, str]]]]:
    request = Request(f"{mlflow}/api/2.0/mlflow/{what}", orjson.dumps(body), {"content-type": "application/json"})
    with urlopen(request, timeout=10) as response:
        found: dict[str, list[dict[str, dict[str, str]]]] = orjson.loads(response.read())
        return found
