"""A headless Chromium that takes pictures of loopback pages and says what went wrong with one."""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

from ok_ml.errors import EnvironmentFault

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page, Response, Route

WIDTH, HEIGHT, MAX_BYTES = 1440, 900, 300_000
PATIENCE_MS: Final = 30_000
SETTLE_MS: Final = 1_500  # animations, late fonts and the last poll of a page that is otherwise complete
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})
# Panels beside the content that are folded: Dagster's navigation, MLflow's assistant; MLflow as for training, not for agents.
_FOLDED = {
    "dagster-nav-collapsed": "true",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.workflowType_v1": '"machine_learning"',
}
_DIALOGS = '[role="dialog"]:visible, [role="alertdialog"]:visible, dialog[open]:visible'


class PictureFailed(Exception):  # noqa: N818 (told to the person, with the page it belongs to)
    """A page could not be taken."""


class Visit:
    """One page being looked at.

    Attributes
    ----------
    faults
        What a person would notice on the page since it was opened: dialogs, and errors of Dagster's GraphQL.
    outside
        Hosts beyond this machine that pages asked for.
    """

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.faults: list[str] = []
        self.outside: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("dialog", self._refuse_dialog)
        page.on("response", self._notice_errors)
        page.route("**/*", self._only_loopback)

    def _refuse_dialog(self, dialog: "Dialog") -> None:
        self.faults.append(f"a dialog appeared: {dialog.message}")
        dialog.dismiss()

    def _notice_errors(self, response: "Response") -> None:
        if urlsplit(response.url).path != "/graphql" or response.request.method != "POST":
            return
        with contextlib.suppress(PlaywrightError, ValueError):  # the page went on before its answer was read
            for error in (response.json().get("errors") or [])[:1]:
                where = ".".join(map(str, error.get("path") or []))
                self.faults.append(f"Dagster shows a GraphQL error: {error['message']} ({where})")

    def _only_loopback(self, route: "Route") -> None:
        host = urlsplit(route.request.url).hostname
        if host is None or host in _LOOPBACK:
            route.continue_()
        else:
            self.outside.append(host)
            route.abort()

    def open(self, url: str) -> None:
        """Go there; raises PictureFailed for any status but 200."""
        self.faults.clear()
        response = self.page.goto(url, wait_until="domcontentloaded")
        if response is not None and response.status != 200:
            raise PictureFailed(f"answered {response.status}")

    def settle(self) -> None:
        """Wait until nothing moves, then refuse a page with a dialog or an error on it."""
        self.page.evaluate("document.fonts.ready")
        self.page.wait_for_timeout(SETTLE_MS)
        open_now = self.page.locator(_DIALOGS).all_inner_texts()
        found = [*self.faults, *(f"a dialog appeared: {text.strip()}" for text in open_now)]
        if found:
            raise PictureFailed(" ".join(found[0].split())[:300])

    def save(self, path: Path) -> None:
        """Write what is visible as a small PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small_png(self.page.screenshot()))


@contextmanager
def browser() -> Iterator[Visit]:
    """A fresh browser without any history: what a newcomer sees, side panels apart.

    Raises
    ------
    EnvironmentFault
        There is no Chromium.
    """
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise EnvironmentFault(
            f"no browser found: none of {', '.join(_BROWSERS)} is on the PATH",
            why="pictures are taken with it",
            remedy="install Chromium, e.g. apt-get install chromium",
        )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--hide-scrollbars"])
        context = chromium.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            reduced_motion="reduce",
            color_scheme="light",
            timezone_id="UTC",
            locale="en-US",
        )
        context.add_init_script(
            f"Object.entries({json.dumps(_FOLDED)}).forEach(([k, v]) => localStorage.setItem(k, v))"
        )
        try:
            yield Visit(context.new_page())
        finally:
            chromium.close()


def small_png(raw: bytes) -> bytes:
    """The same picture with a palette, with as many colours as fit into 300 KB; the raw one if that is smaller."""
    from PIL import Image

    image, best = Image.open(io.BytesIO(raw)).convert("RGB"), raw
    for colours in (256, 128, 64, 32):
        made = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
        best = min(best, made.getvalue(), key=len)
        if len(best) <= MAX_BYTES:
            break
    return best
