"""What every page of the service has in common."""

from dataclasses import dataclass, field
from typing import Final

from ok_ml.serving.html import Markup, tag

# Three people around a fourth: drawn here so that nothing is fetched.
_MARK: Final = Markup(
    '<svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2">'
    '<circle cx="12" cy="12" r="3.2" fill="currentColor"/><circle cx="4.5" cy="6" r="2"/><circle cx="19.5" cy="6" r="2"/>'
    '<circle cx="12" cy="21" r="2"/><path d="M6.2 7.2 9.6 10M17.8 7.2 14.4 10M12 15v4"/></svg>'
)
_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' "
    "fill='%23c2570c'/%3E%3Ccircle cx='12' cy='12' r='5' fill='white'/%3E%3C/svg%3E"
)


@dataclass(frozen=True)
class Neighbours:
    """Addresses of the other pages of this deployment: label -> URL."""

    links: dict[str, str] = field(default_factory=dict)


def page(title: str, *content: Markup, current: str, neighbours: Neighbours, wide: bool = False) -> str:
    """A whole HTML document around `content`; `current` is the path of this page in the navigation."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", f"{title} - ok_ml"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("link", rel="icon", href=_ICON),
        tag("link", rel="stylesheet", href="/static/style.css"),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", class_="skip", href="#content"),
        _header(current, neighbours),
        tag("main", *content, id="content"),
        tag("footer", "This page loads nothing from anywhere else."),
        class_="wide" if wide else None,
    )
    return f"<!doctype html>{tag('html', head, body, lang='en')}"


def _header(current: str, neighbours: Neighbours) -> Markup:
    own = {"Recommendations": "/", "Health": "/health", "Monitoring": "/monitoring", "API": "/openapi.json"}
    links = [
        tag("li", tag("a", label, href=href, aria_current="page" if href == current else None))
        for label, href in {**own, **neighbours.links}.items()
    ]
    brand = tag("a", _MARK, tag("span", "ok_ml"), class_="brand", href="/")
    return tag("header", tag("div", brand, tag("nav", tag("ul", *links), aria_label="Pages")), class_="bar-top")


def notice(state: str, *paragraphs: str | Markup) -> Markup:
    """A coloured box with a few sentences."""
    return tag("div", *[tag("p", text) for text in paragraphs if text], class_=f"notice {state}", role="status")


def facts(values: dict[str, str | Markup | None]) -> Markup:
    """A row of small labelled values; those without a value are left out."""
    return tag(
        "dl",
        *[tag("div", tag("dt", name), tag("dd", value)) for name, value in values.items() if value is not None],
        class_="facts",
    )


def error_page(status: int, title: str, detail: str, remedy: str, *, neighbours: Neighbours) -> str:
    """A page that says what went wrong and what to do."""
    return page(
        title,
        tag("h1", title),
        notice("fail", detail, remedy),
        tag("p", tag("a", "Back to the recommendations", href="/")),
        current=f"error {status}",
        neighbours=neighbours,
    )
