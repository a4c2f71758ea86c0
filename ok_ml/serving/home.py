"""The page for people: type a user, see what is served to them and why in short."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from ok_ml.serving.health import in_words
from ok_ml.serving.html import Markup, tag
from ok_ml.serving.http import Problem
from ok_ml.serving.layout import Neighbours, facts, notice, page

REASON_WORDS: Final = {
    "taste": "close to your taste",
    "popular": "popular now",
    "similar": "goes with what you like",
    "friends": "friends are subscribed",
    "fallback": "popular list: no history yet",
}


@dataclass(frozen=True)
class HomeView:
    """Everything that the page shows.

    Attributes
    ----------
    answer
        The document that /v1/predictions gives for this user, or None.
    problem
        Why there is none, if it was asked for.
    details
        What the publisher said about the generation.
    """

    experiments: list[str]
    experiment: str
    user: str = ""
    examples: list[int | str] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    problem: Problem | None = None
    generation_age_seconds: float | None = None
    details: dict[str, str] = field(default_factory=dict)
    neighbours: Neighbours = field(default_factory=Neighbours)


def home_page(view: HomeView) -> str:
    """The whole page."""
    content = [
        tag(
            "div",
            tag("h1", "What a user is recommended now"),
            tag(
                "p",
                "Sources that the user is not subscribed to yet, exactly as the storage serves them.",
                class_="lead",
            ),
        ),
        _form(view),
    ]
    if view.problem is not None:
        kind = "warn" if view.problem.status == 503 else "fail"
        content.append(notice(kind, view.problem.detail, view.problem.remedy))
    if view.answer is not None:
        content += [_summary(view, view.answer), _list(view.answer["predictions"])]
    return page(
        f"User {view.user}" if view.user else "Recommendations", *content, current="/", neighbours=view.neighbours
    )


def _form(view: HomeView) -> Markup:
    options = [
        tag("option", name, value=name, selected="" if name == view.experiment else None) for name in view.experiments
    ]
    fields = tag(
        "form",
        tag(
            "div",
            tag("label", "Experiment", for_="experiment"),
            tag("select", *options, id="experiment", name="experiment"),
        ),
        tag(
            "div",
            tag("label", "User id", for_="user"),
            tag(
                "input",
                id="user",
                name="user",
                value=view.user,
                inputmode="numeric",
                autocomplete="off",
                required="",
                pattern="-?[0-9]+",
                maxlength=20,
                title="a whole number",
                placeholder="for example 42",
            ),
        ),
        tag("button", "Show", type="submit"),
        method="get",
        action="/",
    )
    return tag("section", fields, _examples(view), class_="card", aria_label="Choose a user")


def _examples(view: HomeView) -> Markup | None:
    if not view.examples:
        return None
    chips = []
    for user in view.examples:
        query = urlencode({"experiment": view.experiment, "user": user})
        current = "true" if str(user) == view.user else None
        chips.append(tag("li", tag("a", user, class_="chip", href=f"/?{query}", aria_current=current)))
    return tag("div", tag("span", "Try:", class_="muted small"), tag("ul", *chips), class_="examples")


def _summary(view: HomeView, answer: dict[str, Any]) -> Markup:
    raw = f"/v1/predictions/{answer['experiment']}/{answer['entity_id']}"
    age = view.generation_age_seconds
    head = tag(
        "div",
        tag("h2", f"User {answer['entity_id']}"),
        tag("a", "the same as JSON", href=raw, class_="small"),
        class_="result-head",
    )
    values = facts(
        {
            "Generation": tag("span", answer["generation"], class_="mono"),
            "Model": f"version {answer['model_version']}",
            "Live since": f"{in_words(age)} ago" if age is not None else None,
            "Data up to": view.details.get("data_dt"),
            "Sources": str(len(answer["predictions"])),
        }
    )
    fallback = (
        notice("", "This user has no history yet: the popular list is served instead.") if answer["fallback"] else None
    )
    return tag(
        "section", head, fallback, values, _why(answer["predictions"]), class_="card", aria_label="What is served"
    )


def _why(predictions: list[dict[str, Any]]) -> Markup | None:
    counts = Counter(str(found["reason"]) for found in predictions)
    if set(counts) <= {"fallback"}:
        return None
    bars, words, start = [], [], 0.0
    for reason, count in counts.most_common():
        width = 100.0 * count / len(predictions)
        bars.append(
            tag("rect", x=f"{start:.2f}", width=f"{width:.2f}", height=10, fill="currentColor", class_=f"r-{reason}")
        )
        dot = tag("span", class_=f"dot r-{reason}", aria_hidden="true")
        words.append(tag("li", dot, f"{count} {REASON_WORDS.get(reason, reason)}"))
        start += width
    picture = tag("svg", *bars, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")
    return tag("div", tag("h3", "Why, in short", class_="small muted"), picture, tag("ul", *words), class_="why")


def _list(predictions: list[dict[str, Any]]) -> Markup:
    top = max((found["score"] for found in predictions), default=0.0)
    low = min((found["score"] for found in predictions), default=0.0)
    rows = [_row(place, found, low, top) for place, found in enumerate(predictions, start=1)]
    return tag("section", tag("ol", *rows, class_="served"), class_="card", aria_label="The list, best first")


def _row(place: int, found: dict[str, Any], low: float, top: float) -> Markup:
    reason = str(found["reason"])
    share = 1.0 if top <= low else 0.05 + 0.95 * (found["score"] - low) / (top - low)
    bar = tag(
        "svg",
        tag("rect", width=f"{100 * share:.1f}", height=10, fill="currentColor"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    topic = tag("span", found["topic"], class_="topic") if found["topic"] else None
    title = found["name"] or f"source {found['source_id']}"
    words = [tag("span", class_=f"dot r-{reason}", aria_hidden="true"), REASON_WORDS.get(reason, reason)]
    return tag(
        "li",
        tag("span", place, class_="rank"),
        tag("div", tag("strong", title), topic, class_="what", title=f"source {found['source_id']}"),
        tag("div", *words, class_="reason"),
        tag("div", bar, tag("span", f"{found['score']:.3f}"), class_="score", title="score of the model"),
    )
