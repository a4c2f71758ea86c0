"""The health of everything on one page: what needs attention first, what is fine below, in one screen."""

from collections import Counter, defaultdict
from typing import Final

from ok_ml.serving.health import INCIDENT, PUBLICATION, STATES, State, StatusItem, in_words, worst, worst_first
from ok_ml.serving.html import Markup, breakable, tag
from ok_ml.serving.layout import Neighbours, notice, page

STATE_WORDS: Final[dict[State, str]] = {"ok": "fine", "warn": "warning", "fail": "failing", "unknown": "unknown"}
_KIND_WORDS: Final = {
    "generation": "Served generations",
    "materialiser": "Materialiser",
    "service": "Services",
    "run": "Last runs",
    "check": "Checks",
    "collector": "Collectors",
    "daemon": "Dagster's daemon",
}


def health_page(items: list[StatusItem], *, neighbours: Neighbours) -> str:
    """The whole page."""
    ordered = worst_first(items)
    blocked = [item for item in ordered if item.kind == PUBLICATION]
    incidents = [item for item in ordered if item.kind == INCIDENT]
    others = [item for item in ordered if item.kind not in (PUBLICATION, INCIDENT)]
    trouble = worst_first(folded([item for item in others if item.state != "ok"]))
    fine = [item for item in ordered if item.state == "ok"]
    headlines = [notice("fail", item.message) for item in blocked] or [_headline(ordered)]
    content = [tag("div", tag("h1", "Health"), _tally(ordered)), *headlines]
    if incidents:
        title = tag("h2", "Open incidents", id="incidents")
        content.append(tag("section", title, _table(incidents, "incidents"), class_="card"))
    if trouble:
        title = tag("h2", "Needs attention", id="attention")
        content.append(tag("section", title, _table(trouble, "attention"), class_="card"))
    if fine:
        content.append(tag("section", tag("h2", "Fine"), _fine(fine), class_="card"))
    return page("Health", *content, current="/health", neighbours=neighbours, wide=True)


def folded(items: list[StatusItem]) -> list[StatusItem]:
    """One line a dataset or experiment for assets that were never made, and one for checks that have nothing to judge yet."""
    never, mute, rest = defaultdict[str, list[StatusItem]](list), defaultdict[str, list[StatusItem]](list), []
    for item in items:
        if item.kind == "asset" and item.state == "unknown" and item.age_seconds is None:
            never[item.name.partition("/")[0]].append(item)
        elif item.kind == "check" and item.state == "unknown":
            mute[item.name.partition("/")[0]].append(item)
        else:
            rest.append(item)
    for scope, found in mute.items():
        text = f"{len(found)} checks have judged nothing yet; the first: {found[0].message}"
        rest.append(
            found[0]
            if len(found) == 1
            else StatusItem(f"{scope}: checks", "check", "unknown", None, found[0].owner, text)
        )
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
    verb = "" if item.kind == INCIDENT else f" is {STATE_WORDS[state]}"
    return notice(state, f"{item.name}{verb}: {item.message or 'no reason was given'}")


def _table(items: list[StatusItem], title_id: str) -> Markup:
    age = "Since" if title_id == "incidents" else "Age"
    names = ("State", "What", "Kind", age, "Reason and next step", "Owner")
    head = tag("thead", tag("tr", *[tag("th", name, scope="col") for name in names]))
    return tag(
        "div",
        tag("table", head, tag("tbody", *[_row(item) for item in items])),
        class_="table",
        tabindex=0,
        role="region",
        aria_labelledby=title_id,
    )


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


def _fine(items: list[StatusItem]) -> Markup:
    """What is fine, in few words: assets by dataset or experiment with their owner, passed checks only as a count."""
    assets = {item.name for item in items if item.kind == "asset"}
    checks = Counter(item.name.partition(": ")[0] for item in items if item.kind == "check")
    groups = defaultdict[str, list[StatusItem]](list)
    for item in sorted(items, key=lambda found: found.name):
        if item.kind == "asset":
            groups[item.name.partition("/")[0]].append(item)
        elif item.kind != "check" or item.name.partition(": ")[0] not in assets:
            groups[_KIND_WORDS.get(item.kind, item.kind)].append(item)
    return tag("div", *[_group(name, found, checks) for name, found in groups.items()], class_="groups")


def _group(name: str, items: list[StatusItem], checks: Counter[str]) -> Markup:
    owners = ", ".join(sorted({item.owner for item in items if item.owner and item.kind == "asset"}))
    title = tag("h3", name, tag("span", owners, class_="small") if owners else None)
    rows = [
        tag(
            "li",
            tag("span", _link(item, name), title=item.message or None),
            tag("span", _short(item, checks[item.name])),
        )
        for item in items
    ]
    return tag("section", title, tag("ul", *rows))


def _short(item: StatusItem, checks: int) -> str:
    passed = f"{checks} check{'s' if checks > 1 else ''}" if item.kind == "asset" and checks else ""
    return ", ".join(text for text in (passed, _age(item)) if text)


def _link(item: StatusItem, scope: str = "") -> Markup:
    name = breakable(item.name.removeprefix(f"{scope}/") if scope else item.name)
    return tag("a", name, href=item.link) if item.link else name


def _age(item: StatusItem) -> str:
    return "" if item.age_seconds is None else in_words(item.age_seconds)
