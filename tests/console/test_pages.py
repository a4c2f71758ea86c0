"""The pages for people and the files beside them."""

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from ok_ml.console import files
from ok_ml.console.files import Pictures
from ok_ml.console.home import REASON_WORDS, HomeView
from ok_ml.console.render import breakable, commands, environment, render
from ok_ml.delivery.payloads import LABELS
from ok_ml.serving.problems import Problem
from tests.serving.conftest import Server

STYLE = Path(files.__file__).parent / "static" / "style.css"


class Page(HTMLParser):
    """Elements of a page with their attributes, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in ("meta", "link", "input", "img", "br", "wbr"):
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name, f"</{name}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]

    @property
    def text(self) -> str:
        return "".join(self.words)


PATHS = [
    "/",
    "/?experiment=toy_sources&user=1",
    "/?experiment=toy_sources&user=99",
    "/?experiment=unpublished&user=1",
    "/health",
    "/monitoring",
    "/docs",
    "/nothing",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_whole_named_and_loads_nothing_from_elsewhere(server: Server, path: str) -> None:
    answered = server.get(path, accept="text/html")
    assert answered.status == (404 if path == "/nothing" else 200)
    page = Page(answered.text)
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("title")
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert page.all("a")[0]["href"] == "#content"
    assert page.all("script") == []
    for name, attributes in page.elements:
        assert not any(key.startswith("on") or key == "style" for key in attributes), name
        for key in ("src", "srcset", "data", "action"):
            assert not (attributes.get(key) or "").startswith(("http", "//")), (name, attributes)
    for link in page.all("link"):
        assert (link["href"] or "").startswith(("/static/", "data:image/svg+xml,"))
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", PATHS)
def test_every_field_has_a_label_and_links_stay_on_this_machine(server: Server, path: str) -> None:
    page = Page(server.get(path, accept="text/html").text)
    labelled = {attributes["for"] for attributes in page.all("label")}
    for name in ("input", "select", "textarea"):
        for attributes in page.all(name):
            assert attributes["id"] in labelled
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.all("a"):
        assert re.match(r"[/#]|http://127\.0\.0\.1:", attributes["href"] or "")
    for name, attributes in page.elements:
        if name == "svg":
            assert attributes["aria-hidden"] == "true"


def test_a_user_is_shown_what_is_served_and_why(server: Server) -> None:
    page = Page(server.get("/?experiment=toy_sources&user=1").text)
    served = server.get("/v1/predictions/toy_sources/1").json
    for words in (
        "Cats",
        "animals",
        "Bread",
        "close to your taste",
        "popular now",
        "friends are subscribed",
        "2026-01-31",
    ):
        assert words in page.text
    assert served["generation"] in page.text
    assert f"version {served['model_version']}" in page.text
    assert len(page.all("li")) >= 3
    assert "/v1/predictions/toy_sources/1" in [attributes["href"] for attributes in page.all("a")]


def test_examples_are_offered_and_lead_to_lists(server: Server) -> None:
    page = Page(server.get("/").text)
    links = [a["href"] or "" for a in page.all("a") if "user=" in (a["href"] or "")]
    assert {re.sub(r".*user=", "", link) for link in links} == {"1", "2", "3"}
    assert "Why, in short" in Page(server.get(links[0]).text).text or "no history yet" in server.get(links[0]).text


def test_a_user_without_history_is_told_so(server: Server) -> None:
    text = Page(server.get("/?experiment=toy_sources&user=4711").text).text
    assert "This user has no history yet: the popular list is served instead." in text
    view = _view_with("fallback")
    shown = render("home.html", current="/", neighbours={}, view=view, reasons=REASON_WORDS)
    assert "popular list: no history yet" in Page(shown).text
    assert view.shares == []


def test_label_scores_of_a_text_are_shown_the_likeliest_first() -> None:
    view = _view_of_text(known=True, decided="spam", labels={"ham": 0.02, "spam": 0.98})
    page = Page(render("home.html", current="/", neighbours={}, view=view, reasons=REASON_WORDS))
    assert "Text id" in page.text
    assert page.text.index("0.980") < page.text.index("0.020")
    unknown = _view_of_text(known=False, decided=None, labels={})
    shown = Page(render("home.html", current="/", neighbours={}, view=unknown, reasons=REASON_WORDS))
    assert "This text is unknown to this generation." in shown.text


def _view_of_text(**said: object) -> HomeView:
    answer = {"experiment": "x", "entity_id": "1", "generation": "g", "model_version": "1"} | said
    return HomeView(["x"], "x", "1", answer=answer, details={LABELS: "true"})


def _view_with(*reasons: str, scores: tuple[float, ...] = (1.0,)) -> HomeView:
    predictions = [
        {"source_id": "5", "name": None, "topic": None, "score": score, "reason": reason}
        for reason, score in zip(reasons, scores, strict=True)
    ]
    answer = {
        "experiment": "x",
        "entity_id": "1",
        "generation": "g",
        "model_version": "1",
        "fallback": True,
        "predictions": predictions,
    }
    return HomeView(["x"], "x", "1", answer=answer)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("experiment=toy_sources&user=abc", "is not an entity id"),
        ("experiment=nope&user=1", "there is no experiment"),
        ("experiment=unpublished", "ok-ml run unpublished"),
    ],
)
def test_a_page_says_what_went_wrong(server: Server, query: str, words: str) -> None:
    assert words in Page(server.get(f"/?{query}").text).text


def test_what_a_person_types_is_never_markup(server: Server) -> None:
    text = server.get("/?experiment=toy_sources&user=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_errors_are_pages_for_people_and_problems_for_programs(server: Server) -> None:
    assert server.get("/nothing", accept="text/html").headers["content-type"] == "text/html; charset=utf-8"
    assert server.get("/nothing").json["detail"] == "nothing is served at '/nothing'"
    assert server.get("/v1/predictions/nope/1", accept="text/html").json["status"] == 404


def test_head_has_the_headers_and_no_body(server: Server) -> None:
    whole, head = server.get("/livez"), server.get("/livez", "HEAD")
    assert (whole.body, head.body) == (b"alive\n", b"")
    assert head.headers["content-length"] == str(len(whole.body))


# -- markup --------------------------------------------------------------------------------------------------------


def test_names_and_commands_are_escaped() -> None:
    assert breakable("a/b_<c>") == "a/<wbr>b_<wbr>&lt;c&gt;"
    assert commands("run `ok-ml get <x>`, a < b") == "run <code>ok-ml get &lt;x&gt;</code>, a &lt; b"
    assert commands("a ` alone") == "a ` alone"


def test_whatever_a_template_shows_is_escaped_and_what_it_is_not_given_is_an_error() -> None:
    shown = environment().from_string("<b>{{ text }}</b>")
    assert shown.render(text='<&>"') == "<b>&lt;&amp;&gt;&#34;</b>"
    with pytest.raises(UndefinedError):
        shown.render()


def test_the_list_is_summed_up_by_reason() -> None:
    view = _view_with("taste", "popular", "popular", "taste", "popular", scores=(5.0, 1.0, 3.0, 2.0, 4.0))
    assert [(share.reason, share.count, share.start, share.width) for share in view.shares] == [
        ("popular", 3, 0.0, pytest.approx(60.0)),
        ("taste", 2, pytest.approx(60.0), pytest.approx(40.0)),
    ]
    assert [view.bar(score) for score in (1.0, 3.0, 5.0)] == [5.0, 52.5, 100.0]


# -- contrast ------------------------------------------------------------------------------------------------------


def _themes() -> list[dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), flags=re.DOTALL)
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks]


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.1."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_formula() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_has_enough_contrast(theme: int) -> None:
    colours = _themes()[theme]
    pairs = [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("page", "card")]
    pairs += [(state, f"{state}-tint") for state in ("ok", "warn", "fail", "unknown")]
    pairs += [
        ("accent-ink", "accent"),
        ("ink", "tint"),
        *(("ink", f"{state}-tint") for state in ("warn", "fail", "ok", "unknown")),
    ]
    for ink, ground in pairs:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for mark in ("field", "taste", "popular", "friends", "fallback"):
        assert contrast(colours[mark], colours["card"]) >= 3.0, mark


# -- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("psi.png", "image/png"), ("psi.svg", "image/svg+xml"), ("expectations.html", "text/html; charset=utf-8")],
)
def test_pictures_are_served_with_their_type_and_can_run_nothing(server: Server, name: str, content_type: str) -> None:
    answered = server.get(f"/plots/toy/{name}")
    assert answered.status == 200
    assert answered.headers["content-type"] == content_type
    assert "sandbox" in answered.headers["content-security-policy"]
    assert answered.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "toy/notes.txt", "link.png", "toy", "", "/", "missing.png", "../ui.lock", "..%2f..%2fconfigs%2fbase.yml", "%2e%2e/%2e%2e/configs/base.yml",
        "toy/../toy/psi.png", "/etc/passwd", "toy//psi.png", "toy/psi.png%00.svg", "toy\\psi.png", ".hidden.png", "toy/psi.png/",
    ],
)  # fmt: skip
def test_nothing_but_pictures_below_the_folder_is_served(server: Server, path: str) -> None:
    answered = server.get(f"/plots/{path}")
    assert answered.status in (400, 404)
    assert b"state_dir" not in answered.body


def test_a_picture_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.png").open("wb") as handle:
        handle.truncate(9 * 1024 * 1024)
    with pytest.raises(Problem, match="no such picture"):
        Pictures(directory=tmp_path).lookup_path("big.png")


def test_before_the_first_run_there_is_no_picture(tmp_path: Path) -> None:
    pictures = Pictures(directory=tmp_path / "plots", check_dir=False)
    scope = {"type": "http", "method": "GET", "path": "/plots/a.png", "root_path": "/plots", "headers": []}
    with pytest.raises(Problem, match="no such picture"):
        asyncio.run(pictures(scope, None, None))


@pytest.mark.parametrize("path", ["/plots/toy/psi.png", "/static/style.css"])
def test_a_file_that_did_not_change_is_asked_for_but_not_sent_again(server: Server, path: str) -> None:
    first = server.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = server.get(path, if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
