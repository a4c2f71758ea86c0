"""The health of everything on one page: what needs attention first, what is fine below, in one screen."""

from collections import defaultdict
from typing import Final

from ok_ml.serving.health import STATES, State, StatusItem, in_words, worst, worst_first
from ok_ml.serving.html import Markup, breakable, join, tag
from ok_ml.serving.layout import Neighbours, notice, page

STATE_WORDS: Final[dict[State, str]] = {"ok": "fine", "warn": "warning", "fail": "failing", "unknown": "unknown"}
_KIND_WORDS: Final = {
    "generation": "Served generations",
    "materialiser": "Materialiser",
    "service": "Services",
    "run": "Last runs",
    "asset": "Assets",
    "check": "Checks",
    "collector": "Collectors",
}


def health_page(items: list[StatusItem], *, neighbours: Neighbours) -> str:
    """The whole page."""
    ordered = worst_first(items)
    trouble = worst_first(folded([item for item in ordered if item.state != "ok"]))
    fine = [item for item in ordered if item.state == "ok"]
    content = [tag("div", tag("h1", "Health"), _tally(ordered)), _headline(ordered)]
    if trouble:
        content.append(tag("section", tag("h2", "Needs attention", id="attention"), _table(trouble), class_="card"))
    if fine:
        content.append(tag("section", tag("h2", "Fine"), *_fine(fine), class_="card"))
    return page("Health", *content, current="/health", neighbours=neighbours)


def folded(items: list[StatusItem]) -> list[StatusItem]:
    """Assets that were never made, one line a dataset or experiment: they wait for their first run, no more."""
    never, rest = defaultdict[str, list[StatusItem]](list), []
    for item in items:
        if item.kind == "asset" and item.state == "unknown" and item.age_seconds is None:
            never[item.name.partition("/")[0]].append(item)
        else:
            rest.append(item)
    for scope, found in never.items():
        text = f"{len(found)} assets wait for their first run" if len(found) > 1 else found[0].message
        rest.append(
            StatusItem(
                f"{scope}/*" if len(found) > 1 else found[0].name, "asset", "unknown", None, found[0].owner, text
            )
        )
    return rest


def _tally(items: list[StatusItem]) -> Markup:
    counts = {state: sum(item.state == state for item in items) for state in STATES}
    pills = [
        tag("li", tag("span", f"{count} {STATE_WORDS[state]}", class_=f"state s-{state}"))
        for state, count in counts.items()
        if count
    ]
    return tag("ul", *pills, class_="tally", aria_label="How many are in which state")


def _headline(items: list[StatusItem]) -> Markup:
    state = worst(items)
    first = worst_first(items)[:1]
    if state == "ok":
        return notice("ok", f"All {len(items)} parts that are watched are fine.")
    if not first:
        return notice("", "Nothing is watched yet.", "Start everything with `make ui`, or run `ok-ml status`.")
    item = first[0]
    return notice(state, f"{item.name} is {STATE_WORDS[state]}: {item.message or 'no reason was given'}")


def _table(items: list[StatusItem]) -> Markup:
    names = ("State", "What", "Kind", "Age", "Reason and next step", "Owner")
    head = tag("thead", tag("tr", *[tag("th", name, scope="col") for name in names]))
    return tag("div", tag("table", head, tag("tbody", *[_row(item) for item in items])), class_="table", tabindex=0, role="region", aria_labelledby="attention")  # fmt: skip


def _row(item: StatusItem) -> Markup:
    return tag(
        "tr",
        tag("td", tag("span", STATE_WORDS[item.state], class_=f"state s-{item.state}")),
        tag("td", _link(item), class_="name"),
        tag("td", item.kind, class_="kind-cell muted"),
        tag("td", _age(item), class_="age"),
        tag("td", item.message, class_="message"),
        tag("td", item.owner, class_="owner muted small"),
    )


def _fine(items: list[StatusItem]) -> list[Markup]:
    groups: dict[str, list[StatusItem]] = defaultdict(list)
    for item in sorted(items, key=lambda found: found.name):
        groups[item.kind].append(item)
    found = []
    for kind in sorted(groups, key=lambda name: list(_KIND_WORDS).index(name) if name in _KIND_WORDS else 99):
        rows = [
            tag("li", tag("span", _link(item), title=item.message or None), tag("span", _age(item)))
            for item in groups[kind]
        ]
        title = tag("h3", f"{_KIND_WORDS.get(kind, kind)} ({len(rows)})", class_="kind")
        found.append(join(title, tag("ul", *rows, class_="fine")))
    return found


def _link(item: StatusItem) -> Markup:
    name = breakable(item.name)
    return tag("a", name, href=item.link) if item.link else name


def _age(item: StatusItem) -> str:
    return "" if item.age_seconds is None else in_words(item.age_seconds)
