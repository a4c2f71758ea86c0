"""The pages' templates: one Jinja environment, and filters for names, commands, numbers and ages."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ok_ml.console.health import in_words

# Nothing from outside, no script, no frame around us: the pages need only their own style sheet and pictures.
PAGE_POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_NAVIGATION: Final = {"Recommendations": "/", "Health": "/health", "Monitoring": "/monitoring", "API": "/docs"}


def render(template: str, *, current: str, neighbours: Mapping[str, str], **view: Any) -> str:
    """A whole page.

    Parameters
    ----------
    current
        Path of this page in the navigation.
    neighbours
        Other pages of this deployment: label -> URL.
    """
    links = {**_NAVIGATION, **neighbours}
    return environment().get_template(template).render(links=links, current=current, **view)


@cache
def environment() -> Environment:
    """The templates, compiled once; whatever they show is escaped, and a name that is not given is an error."""
    loader = PackageLoader("ok_ml.console")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(breakable=breakable, commands=commands, age=in_words, number=number, percent=percent)
    return made


def breakable(text: str) -> Markup:
    """A long name that may break after slashes, colons and underscores, and nowhere else."""
    return Markup("<wbr>").join(re.split(r"(?<=[/:_])(?=.)", text))


def commands(text: str) -> Markup:
    """A sentence in which what stands between backticks is a command."""
    code = Markup("<code>{}</code>")
    pieces = re.split(r"`([^`]+)`", text)
    return Markup("").join(code.format(piece) if place % 2 else piece for place, piece in enumerate(pieces))


def number(value: float | None) -> str:
    """A number of any magnitude with about four digits; "none" if there is none."""
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "none" if share is None else f"{share:.2%}"
