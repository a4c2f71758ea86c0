"""The dashboards and rules against the metrics: nothing is asked for that nobody measures, and nothing measured is unseen."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from ruamel.yaml import YAML

from ok_ml.metrics import METRICS
from ops.answers import Line, settled
from ops.dashboards import DASHBOARDS, FOLDER, NOT_SHOWN
from ops.drawing import _ticks, draw
from ops.metric_table import PAGE, with_table
from ops.panels import as_json
from ops.units import written
from tests.small_project import ROOT

ALWAYS = {"process", "worker", "job", "instance"}
OF_HISTOGRAMS = ("_bucket", "_count", "_sum")
RULES = ROOT / "ops" / "prometheus" / "rules.yml"
NAME = re.compile(r"\bok_ml_[a-z0-9_]+\b")
SELECTOR = re.compile(r"(ok_ml_[a-z0-9_]+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def loaded(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def expressions() -> Iterator[tuple[str, str, str]]:
    """Dashboard or alert, panel, PromQL."""
    for path in sorted(FOLDER.glob("*.json")):
        for panel in orjson.loads(path.read_bytes())["panels"]:
            for target in panel.get("targets", []):
                yield path.stem, panel["title"], target["expr"]
    for rule in loaded(RULES)["groups"][0]["rules"]:
        yield "rules", rule["alert"], rule["expr"]


def declared(name: str) -> str:
    """The declared name behind a sample's."""
    for suffix in OF_HISTOGRAMS:
        if name.endswith(suffix) and name.removesuffix(suffix) in METRICS:
            return name.removesuffix(suffix)
    return name


def used_labels(expr: str) -> Iterator[tuple[str, set[str]]]:
    for name, matchers in SELECTOR.findall(expr):
        yield name, {found[0] for found in re.findall(r"([a-z_]+)\s*(=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers))}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_the_committed_json_is_what_the_code_says(dashboard: object) -> None:
    path = FOLDER / f"{dashboard.name}.json"  # type: ignore[attr-defined]
    assert path.read_text(encoding="utf-8") == as_json(dashboard), "write it anew: python -m ops.dashboards"  # type: ignore[arg-type]


@pytest.mark.parametrize(("where", "title", "expr"), list(expressions()))
def test_every_query_asks_for_what_is_measured(where: str, title: str, expr: str) -> None:
    names = {declared(name) for name in NAME.findall(expr)}
    assert names <= set(METRICS) or names == set(), f"{where}: {title}"
    for name, labels in used_labels(expr):
        assert labels <= {*METRICS[declared(name)].labels, *ALWAYS}, f"{where}: {title}: {name}"
    known = {label for name in names for label in METRICS[name].labels} | ALWAYS | {"le"}
    for group in GROUPING.findall(expr):
        assert {label.strip() for label in group.split(",") if label.strip()} <= known, f"{where}: {title}"
    for name in NAME.findall(expr):
        assert (declared(name) != name) == (METRICS[declared(name)].kind == "histogram"), f"{name} of {title}"


def test_a_legend_names_labels_that_the_query_keeps() -> None:
    for path in sorted(FOLDER.glob("*.json")):
        for panel in orjson.loads(path.read_bytes())["panels"]:
            for target in panel.get("targets", []):
                kept = {label.strip() for group in GROUPING.findall(target["expr"]) for label in group.split(",")}
                assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, (
                    f"{path.stem}: {panel['title']}"
                )


def test_every_metric_is_on_a_panel() -> None:
    shown = {declared(name) for where, _, expr in expressions() if where != "rules" for name in NAME.findall(expr)}
    assert set(METRICS) - shown == NOT_SHOWN


def test_every_panel_says_what_it_means_and_fits_its_row() -> None:
    for dashboard in DASHBOARDS:
        for panel in orjson.loads((FOLDER / f"{dashboard.name}.json").read_bytes())["panels"]:
            if panel["type"] != "row":
                assert panel["description"].endswith("."), panel["title"]
                assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
                assert panel["datasource"]["uid"] == "${datasource}"


def test_every_alert_says_what_to_do() -> None:
    rules = loaded(RULES)["groups"][0]["rules"]
    tested = (RULES.parent / "rules_test.yml").read_text()
    for rule in rules:
        assert {"summary", "description"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in ("warn", "error")
        assert f"alertname: {rule['alert']}" in tested


def test_the_scrape_address_is_that_of_the_configuration() -> None:
    target = loaded(RULES.parent / "prometheus.yml")["scrape_configs"][0]
    service = loaded(ROOT / "configs" / "base.yml")["service"]
    assert target["static_configs"] == [{"targets": [f"{service['host']}:{service['port']}"]}]


def promtool() -> str:
    found = os.environ.get("OK_ML_PROMTOOL") or shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not there: apt-get install prometheus, or name it in OK_ML_PROMTOOL")
    return found


@pytest.mark.parametrize("arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")])
def test_prometheus_takes_settings_and_rules(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([promtool(), *arguments], cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00012, "s", "120 µs"), (0.0, "s", "0"), (90.0, "s", "1.5 min"), (172_800.0, "s", "2 d"), (0.0123, "percentunit", "1.23 %"),
        (3 * 2**30, "bytes", "3 GiB"), (1234.0, "short", "1.23K"), (0.25, "short", "0.25"), (21.1, "reqps", "21.1 req/s"), (7.0, "none", "7"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_their_unit(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


def test_ticks_are_round() -> None:
    assert _ticks(9.0, "short") == [0, 2.5, 5.0, 7.5]
    assert _ticks(400.0, "s") == [0, 120, 240, 360]
    assert _ticks(0.004, "s") == pytest.approx([0, 0.001, 0.002, 0.003, 0.004])


def test_variables_are_settled() -> None:
    assert (
        settled('rate(x{experiment=~"$experiment"}[$__rate_interval])', rate_seconds=60)
        == 'rate(x{experiment=~".*"}[60s])'
    )


def test_a_dashboard_is_drawn_and_says_what_has_no_data(tmp_path: Path) -> None:
    asked = []

    def ask(target: Mapping[str, Any]) -> list[Line]:
        asked.append(target["expr"])
        return [] if "rows" in target["expr"] else [Line("one", (0.0, 30.0, 60.0, 400.0), (1.0, 3.0, 2.0, 5.0))]

    document = orjson.loads((FOLDER / "pipeline.json").read_bytes())
    titles = ("Now", "Time to build", "Failed runs, 1 h", "Serving steps", "Seconds", "Rows")
    document["panels"] = [panel for panel in document["panels"] if panel["title"] in titles]
    empty = draw(document, ask, 0.0, 400.0, tmp_path / "pipeline.png")
    assert empty == ["Rows"]
    assert len(asked) == sum(len(panel.get("targets", [])) for panel in document["panels"]) == 5
    assert (tmp_path / "pipeline.png").read_bytes().startswith(b"\x89PNG")


def test_the_documentation_lists_every_metric() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text, "write it anew: python -m ops.metric_table"
    assert all(f"| `{name}` |" in text for name in METRICS)


def test_the_documentation_names_what_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert len(links) == 6
    assert all((PAGE.parent / link).is_file() for link in links)
    for path in re.findall(r"`((?:ops|ok_ml|configs)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path
    for rule in re.findall(r"`(OkMl\w+)`", text):
        assert f"alert: {rule}" in RULES.read_text()
