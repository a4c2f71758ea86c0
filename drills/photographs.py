"""Pictures of the living deployment's pages at the moments of the story, for the documentation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drills.deployment import DATASET, EXPERIMENT, Deployment

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PATIENCE_MS: Final = 60_000


def photograph(deployment: Deployment, name: str, folder: Path, say: Callable[[str], None]) -> None:
    """Take one picture, 1440 x 900; a page that cannot be taken is said, and the story goes on."""
    from playwright.sync_api import Error

    from bench.browser import HEIGHT, WIDTH, PictureFailed, browser
    from ok_ml.errors import EnvironmentFault

    url, prepare = _PAGES[name]
    ports = {key: str(port) for key, port in deployment.ports.items()}
    try:
        with browser() as visit:
            visit.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            visit.page.set_default_timeout(_PATIENCE_MS)
            visit.open(url.format(**ports))
            prepare(visit.page)
            visit.settle()
            visit.save(folder / f"{name}.png")
    except (PictureFailed, Error, EnvironmentFault) as error:
        say(f"        no picture {name}: {str(error).splitlines()[0]}")


def _failed_check(page: "Page") -> None:
    page.get_by_text("Evaluation result", exact=True).first.wait_for()
    plot = page.locator("img[src*='/plots/']").first
    plot.wait_for(state="attached")
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(3_000)


def _run_list(page: "Page") -> None:
    page.get_by_text("ok_ml/reason").first.wait_for()


def _health(page: "Page") -> None:
    page.get_by_role("heading", name="Health", exact=True).wait_for()


def _asset(page: "Page") -> None:
    page.get_by_text("Freshness", exact=False).first.wait_for()
    page.wait_for_timeout(3_000)


_DAGSTER: Final = "http://127.0.0.1:{dagster}"
_PAGES: "Final[dict[str, tuple[str, Callable[[Page], None]]]]" = {
    "failing_check": (f"{_DAGSTER}/assets/{DATASET}/event_statistics?view=checks", _failed_check),
    "open_incident": ("http://127.0.0.1:{service}/health", _health),
    "freshness": (f"{_DAGSTER}/assets/{EXPERIMENT}/predictions", _asset),
    "retrain_reason": (f"{_DAGSTER}/runs", _run_list),
}
