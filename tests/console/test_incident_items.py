"""Open incidents come first, on the page and in every list."""

from pathlib import Path
from types import SimpleNamespace

from ok_ml.console.health import StatusItem, worst_first
from ok_ml.console.incident_items import incident_items
from ok_ml.incidents.reconcile import reconcile
from ok_ml.incidents.signals import Signal
from ok_ml.incidents.store import Store
from tests.console.test_health import health_page

DRIFT = Signal(
    "check:a/b:c", "check", "warn", "ml@example.org", "a/b: c failed", "0.7, expected 0.2-0.4", "http://x/assets/a/b"
)


def project(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(state_dir=folder)


def test_an_open_incident_says_since_when_whose_and_where_to_look(tmp_path: Path) -> None:
    assert incident_items(project(tmp_path)) == []
    store = Store.of(tmp_path)
    reconcile(store, [DRIFT, Signal("run:x", "run", "warn", None, "run", causes=(DRIFT.key,))], now=1000.0)
    (item,) = incident_items(project(tmp_path))
    assert (item.kind, item.name, item.state, item.owner, item.link) == (
        "incident",
        DRIFT.title,
        "warn",
        "ml@example.org",
        DRIFT.link,
    )
    assert item.age_seconds > 1e9
    assert item.message.startswith("0.7, expected 0.2-0.4; 1 consequence; `ok-ml incidents show ")
    with store.writing() as transaction:
        (one,) = transaction.open_incidents()
        one.acknowledged_by, one.acknowledged_at = "anna", 5.0
        transaction.save(one)
    assert "acknowledged by anna" in incident_items(project(tmp_path))[0].message


def test_a_file_that_is_no_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "incidents.db").write_text(
        "not a database, only a text that is long enough to be looked at as one" * 20
    )
    (item,) = incident_items(project(tmp_path))
    assert (item.state, item.message) == ("unknown", "the incidents cannot be read: file is not a database")


def test_incidents_stand_before_what_is_worse(tmp_path: Path) -> None:
    items = [
        StatusItem("events", "asset", "fail", 9.0),
        StatusItem("a/b: c failed", "incident", "warn", 5.0, "me", "0.7"),
    ]
    assert [item.kind for item in worst_first(items)] == ["incident", "asset"]
    page = health_page(items)
    assert page.index("Open incidents") < page.index("Needs attention") < page.index(">events<")
    assert "a/b: c failed: 0.7" in page
    assert page.count('class="state s-warn"') == 2, "in the tally and in the table, once each"
