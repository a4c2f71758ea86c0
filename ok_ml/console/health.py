"""The state of every part, as one list, worst first.

Everything is looked at when it is asked for, by the service and by `ok-ml status` alike: nothing is left that could grow old.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from ok_ml.config.models import Project
from ok_ml.stages.blocked_days import stories

State = Literal["ok", "warn", "fail", "unknown"]

STATES: Final[tuple[State, ...]] = ("fail", "warn", "unknown", "ok")  # worst first
INCIDENT: Final = "incident"
PUBLICATION: Final = "publication"


@dataclass(frozen=True, slots=True)
class StatusItem:
    """One component that is monitored."""

    name: str
    kind: Annotated[
        str,
        Field(
            description="incident, publication, generation, materialiser, service, run, asset, check, collector or daemon."
        ),
    ]
    state: State
    age_seconds: Annotated[
        float | None, Field(description="Since it last did its work; null if that is not known.")
    ] = None
    owner: str | None = None
    message: Annotated[
        str, Field(description="One sentence: value, limit, and the next step where there is a problem.")
    ] = ""
    link: Annotated[str | None, Field(description="A page that says more.")] = None


def worst(items: Iterable[StatusItem]) -> State:
    """The worst state of all; an empty list is unknown."""
    return min((item.state for item in items), key=STATES.index, default="unknown")


def worst_first(items: Iterable[StatusItem]) -> list[StatusItem]:
    """Blocked publications and open incidents before everything else; each by state, then oldest first, then by name."""
    return sorted(
        items,
        key=lambda item: (
            _first(item.kind),
            STATES.index(item.state),
            -(item.age_seconds or 0.0),
            item.kind,
            item.name,
        ),
    )


def _first(kind: str) -> int:
    return (PUBLICATION, INCIDENT).index(kind) if kind in (PUBLICATION, INCIDENT) else 2


def blocked_items(project: Project) -> list[StatusItem]:
    """One item for each experiment whose publication is blocked."""
    return [
        StatusItem(name, PUBLICATION, "fail", None, project.experiments[name].owners[0], text, f"/monitoring/{name}")
        for name, text in stories(project).items()
    ]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The document of /health.json: every component, worst first."""

    state: Annotated[State, Field(description="The worst of all.")]
    counts: Annotated[dict[State, int], Field(description="Components by state.")]
    written_at: datetime
    items: list[StatusItem]


def report(items: Iterable[StatusItem]) -> HealthReport:
    """Everything that was seen."""
    ordered = worst_first(items)
    return HealthReport(worst(ordered), counts_of(ordered), datetime.now(UTC), ordered)


def counts_of(items: Iterable[StatusItem]) -> dict[State, int]:
    """How many are in which state, the worst state first."""
    counts = Counter(item.state for item in items)
    return {state: counts[state] for state in STATES}


def merged(*sources: Iterable[StatusItem]) -> list[StatusItem]:
    """Items of several sources; where two are about the same thing the earlier source wins."""
    by_name: dict[tuple[str, str], StatusItem] = {}
    for source in sources:
        for item in source:
            by_name.setdefault((item.kind, item.name), item)
    return list(by_name.values())


def in_words(seconds: float) -> str:
    """A duration for people: "42 s", "3 min", "5 h", "2 days"."""
    for limit, unit, name in ((90.0, 1.0, "s"), (90 * 60.0, 60.0, "min"), (36 * 3600.0, 3600.0, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
