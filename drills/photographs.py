"""Pictures of the living deployment's pages at the moments of the story, for the documentation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.browser import PictureFailed
from bench.pages import graph_url
from drills.deployment import DATASET, EXPERIMENT, Deployment

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PATIENCE_MS: Final = 60_000
_DRAWN_MS: Final = 4_000
_LOOKS: Final = 20
_SHOW: Final = "[Show Markdown]"
_WITH_DIALOG: Final = ("failing_plot",)


def photograph(deployment: Deployment, name: str, folder: Path, say: Callable[[str], None]) -> None:
    """Take one picture, 1440 x 900; a page that cannot be taken is said, and the story goes on."""
    from playwright.sync_api import Error

    from bench.browser import HEIGHT, WIDTH, browser
    from ok_ml.errors import EnvironmentFault

    url, prepare = _PAGES[name]
    for key, port in deployment.ports.items():
        url = url.replace(f"{{{key}}}", str(port))
    try:
        with browser() as visit:
            visit.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            visit.page.set_default_timeout(_PATIENCE_MS)
            visit.open(url)
            prepare(visit.page)
            if name not in _WITH_DIALOG:
                visit.settle()
            visit.save(folder / f"{name}.png")
    except (PictureFailed, Error, EnvironmentFault) as error:
        say(f"        no picture {name}: {str(error).splitlines()[0]}")


def _failed_check(page: "Page") -> None:
    """While the next run is under way the page tells nothing of the last result: look again."""
    for _ in range(_LOOKS):
        page.get_by_text("Evaluation result", exact=True).first.wait_for()
        page.wait_for_timeout(_DRAWN_MS)
        if page.get_by_text(_SHOW, exact=True).count() and page.get_by_text("Failed", exact=True).count():
            return
        page.reload()
    raise PictureFailed("the check was never seen with its result")


def _failed_plot(page: "Page") -> None:
    """The plot of a check is behind a link, in a dialog."""
    _failed_check(page)
    page.get_by_text(_SHOW, exact=True).first.click()
    page.wait_for_timeout(_DRAWN_MS)


def _health(page: "Page") -> None:
    page.get_by_role("heading", name="Health", exact=True).wait_for()


def _reason(page: "Page") -> None:
    page.get_by_text("Latest materialization", exact=True).first.wait_for()
    page.get_by_text("reason", exact=True).first.scroll_into_view_if_needed()
    page.wait_for_timeout(_DRAWN_MS)


def _drawn(page: "Page") -> None:
    page.wait_for_timeout(2 * _DRAWN_MS)


_DAGSTER: Final = "http://127.0.0.1:{dagster}"
_SERVICE: Final = "http://127.0.0.1:{service}"
_PAGES: "Final[dict[str, tuple[str, Callable[[Page], None]]]]" = {
    "failing_check": (f"{_DAGSTER}/assets/{DATASET}/event_statistics?view=checks", _failed_check),
    "failing_plot": (f"{_DAGSTER}/assets/{DATASET}/event_statistics?view=checks", _failed_plot),
    "open_incident": (f"{_SERVICE}/health", _health),
    "numbers_by_day": (f"{_SERVICE}/monitoring/{EXPERIMENT}", _drawn),
    "freshness": (f"{_DAGSTER}/assets/{EXPERIMENT}/predictions", _drawn),
    "graph": (graph_url(_DAGSTER, EXPERIMENT, "4_serving"), _drawn),
    "retrain_reason": (f"{_DAGSTER}/assets/{EXPERIMENT}/model", _reason),
    "runs": (f"{_DAGSTER}/runs", _drawn),
}
