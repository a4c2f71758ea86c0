"""What the health page shows: what needs attention first, what is healthy below, in one screen."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ok_ml.console.health import INCIDENT, PUBLICATION, State, StatusItem, counts_of, in_words, worst, worst_first

STATE_WORDS: Final[dict[State, str]] = {"ok": "healthy", "warn": "warning", "fail": "failing", "unknown": "unknown"}
_KIND_WORDS: Final = {
    "generation": "Served generations",
    "materialiser": "Materialiser",
    "service": "Services",
    "run": "Last runs",
    "check": "Checks",
    "collector": "Collectors",
    "daemon": "Dagster daemon",
}


@dataclass(frozen=True)
class HealthyGroup:
    """What is healthy of one dataset, experiment or kind: (item, its short name, its number of checks and age)."""

    name: str
    owners: str
    rows: list[tuple[StatusItem, str, str]]


@dataclass(frozen=True)
class HealthView:
    """Everything that the page shows.

    Attributes
    ----------
    headlines
        (State, sentence): what is most important.
    trouble
        Items that are not healthy, worst first, those that only wait folded.
    """

    counts: dict[State, int]
    headlines: list[tuple[str, str]]
    incidents: list[StatusItem]
    trouble: list[StatusItem]
    healthy: list[HealthyGroup]


def health_view(items: list[StatusItem]) -> HealthView:
    """Sort what was seen."""
    ordered = worst_first(items)
    blocked = [("fail", item.message) for item in ordered if item.kind == PUBLICATION]
    others = [item for item in ordered if item.kind not in (PUBLICATION, INCIDENT)]
    return HealthView(
        counts_of(ordered),
        blocked or [_headline(ordered)],
        [item for item in ordered if item.kind == INCIDENT],
        worst_first(folded([item for item in others if item.state != "ok"])),
        _healthy([item for item in ordered if item.state == "ok"]),
    )


def _headline(ordered: list[StatusItem]) -> tuple[str, str]:
    if not ordered:
        return "", "Nothing is monitored yet. Start everything with `make ui`, or run `ok-ml status`."
    state, first = worst(ordered), ordered[0]
    if state == "ok":
        return "ok", f"All {len(ordered)} monitored components are healthy."
    verb = "" if first.kind == INCIDENT else f" is {STATE_WORDS[state]}"
    return state, f"{first.name}{verb}: {first.message or 'no reason was given'}"


def folded(items: list[StatusItem]) -> list[StatusItem]:
    """One line a dataset or experiment for assets that were never materialised, and one for checks without a result."""
    assets, checks, rest = list[StatusItem](), list[StatusItem](), list[StatusItem]()
    for item in items:
        mute = item.state == "unknown" and item.age_seconds is None
        (assets if mute and item.kind == "asset" else checks if mute and item.kind == "check" else rest).append(item)
    for group in _by_scope(checks):
        text = f"{len(group)} checks have no result yet; the first: {group[0].message}"
        rest.append(_of_all(group, f"{_scope(group[0])}: checks", text))
    for group in _by_scope(assets):
        rest.append(_of_all(group, f"{_scope(group[0])}/*", f"{len(group)} assets are not materialised yet"))
    return rest


def _scope(item: StatusItem) -> str:
    return item.name.partition("/")[0]


def _by_scope(items: list[StatusItem]) -> Iterable[list[StatusItem]]:
    groups = defaultdict[str, list[StatusItem]](list)
    for item in items:
        groups[_scope(item)].append(item)
    return groups.values()


def _of_all(members: list[StatusItem], name: str, message: str) -> StatusItem:
    """One item in place of several."""
    first = members[0]
    return first if len(members) == 1 else StatusItem(name, first.kind, "unknown", None, first.owner, message)


def _healthy(items: list[StatusItem]) -> list[HealthyGroup]:
    """Assets by dataset or experiment with their owner; passed checks of an asset only as a count."""
    assets = {item.name for item in items if item.kind == "asset"}
    checks = Counter(item.name.partition(": ")[0] for item in items if item.kind == "check")
    groups = defaultdict[str, list[StatusItem]](list)
    for item in sorted(items, key=lambda item: item.name):
        if item.kind == "asset":
            groups[item.name.partition("/")[0]].append(item)
        elif item.kind != "check" or item.name.partition(": ")[0] not in assets:
            groups[_KIND_WORDS.get(item.kind, item.kind)].append(item)
    return [_group(name, members, checks) for name, members in groups.items()]


def _group(name: str, items: list[StatusItem], checks: Counter[str]) -> HealthyGroup:
    owners = sorted({item.owner for item in items if item.owner and item.kind == "asset"})
    rows = [(item, item.name.removeprefix(f"{name}/"), _short(item, checks[item.name])) for item in items]
    return HealthyGroup(name, ", ".join(owners), rows)


def _short(item: StatusItem, checks: int) -> str:
    passed = f"{checks} check{'s' if checks > 1 else ''}" if item.kind == "asset" and checks else ""
    return ", ".join(filter(None, (passed, "" if item.age_seconds is None else in_words(item.age_seconds))))
