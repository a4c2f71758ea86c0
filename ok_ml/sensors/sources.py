"""What a look at one source of signals brings, and several looks together."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from ok_ml.incidents.signals import Kind, Signal


@dataclass
class Look:
    """What one source saw.

    Attributes
    ----------
    failing, passed, complete, cursors
        As `ok_ml.incidents.reconcile.reconcile` takes them.
    """

    failing: list[Signal] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    complete: set[Kind] = field(default_factory=set)
    cursors: dict[str, str] = field(default_factory=dict)


Source = Callable[[], Look]


def together(looks: Iterable[Look]) -> Look:
    """Several looks as one."""
    whole = Look()
    for look in looks:
        whole.failing += look.failing
        whole.passed |= look.passed
        whole.complete |= look.complete
        whole.cursors |= look.cursors
    return whole


def parse_cursor(text: str | None) -> dict[str, Any] | None:
    """A cursor that was written as JSON; None where there is none, or one that this code cannot read any more."""
    if text is None:
        return None
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def write_cursor(value: dict[str, Any]) -> str:
    """A cursor as JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
