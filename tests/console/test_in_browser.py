"""Every page in headless Chromium, light and dark, wide and narrow: nothing overflows, is cut off or comes from elsewhere."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.console.test_monitoring import EXPERIMENT, filled
from tests.serving.conftest import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["filled"]
pytestmark = pytest.mark.browser

PATHS = [
    "/",
    f"/?experiment={EXPERIMENT}&user=1",
    f"/?experiment={EXPERIMENT}&user=abc",
    "/health",
    f"/monitoring/{EXPERIMENT}",
    f"/monitoring/{EXPERIMENT}?feature=user-minutes",
    "/docs",
    "/nothing",
]
# What reaches beyond the window and cannot be scrolled to inside a box of its own; headers for screen readers apart.
_CUT_OFF = """() => [...document.querySelectorAll('main *')].filter(element => {
  const box = element.getBoundingClientRect()
  return box.width && !element.closest('.table, pre, thead') && box.right > document.documentElement.clientWidth + 1
}).map(element => element.outerHTML.slice(0, 80))"""
_WIDER_THAN_WINDOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_window(filled: Server, chromium: "Browser", scheme, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    refused: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    for path in PATHS:
        page.goto(f"http://127.0.0.1:{filled.port}{path}")
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate(_WIDER_THAN_WINDOW) == 0, path
        assert page.evaluate(_CUT_OFF) == [], path
    assert refused == []
    assert {url for url in asked if not url.startswith(("data:", f"http://127.0.0.1:{filled.port}/"))} == set()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(246, 244, 240)", "dark": "rgb(21, 19, 17)"}[scheme]
    page.close()


def test_the_api_page_leads_to_every_schema_that_it_names(filled: Server, chromium: "Browser") -> None:
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{filled.port}/docs")
    described = filled.get("/openapi.json").json
    assert page.locator("h2 code").all_inner_texts() == list(described["paths"])
    for name in described["components"]["schemas"]:
        page.locator(f"a[href='#schema-{name}']").first.click()
        assert page.locator(":target").inner_text() == name
    page.close()
