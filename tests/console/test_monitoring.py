"""The page of numbers by day: every feature and every table, worst first, on the same terms as all pages."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.console.monitoring import FRESH_SECONDS, Views, monitoring_view
from ok_ml.console.monitoring_view import BY_DAY_HEAD, feature_in_full
from ok_ml.console.pages import monitored
from ok_ml.console.render import environment, render
from ok_ml.console.sparks import Spark, spark
from ok_ml.lake import Lake
from ok_ml.quality.judges.feature_series import feature_series
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT, commit, verdict_of
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import REFERENCE_FILE, FrozenBins
from ok_ml.quality.statistics.number_series import Name, Number, series_table
from ok_ml.quality.statistics.statistics_rows import feature_statistics
from tests.console.test_pages import Page
from tests.serving.conftest import Server

EXPERIMENT = "toy_sources"
DAYS = [f"2026-01-{day:02d}" for day in range(5, 27)]
NAMES = ("likes", "minutes", "<odd>")


def write_statistics(lake: Lake, tmp_path, dt: str, scale: float, bins: FrozenBins | None) -> pa.Table:
    import pyarrow.parquet as pq

    rng = np.random.default_rng(int(dt[-2:]))
    path = tmp_path / "features.parquet"
    columns = {name: rng.normal(5.0, 1.0, 400).astype(np.float32) for name in NAMES}
    columns["minutes"] *= np.float32(scale)
    pq.write_table(pa.table(columns), path)
    table = feature_statistics({"user": [path]}, dt=dt, bins=bins)
    lake.write(EXPERIMENT, c.FEATURE_STATISTICS, dt, table, sort_by=["entity", "feature"])
    return table


def fill(lake: Lake, tmp_path) -> None:
    """Three weeks of statistics, the last two days with minutes half as long again; a verdict; one table of numbers."""
    import pyarrow.parquet as pq

    reference = write_statistics(lake, tmp_path, DAYS[0], 1.0, None)
    bins = FrozenBins.from_statistics(reference)
    with lake.staged(EXPERIMENT, c.CHAMPION) as folder:
        pq.write_table(reference, folder / REFERENCE_FILE)
        lake.commit(folder, rows=1, data_version="1")
    for dt in DAYS:
        write_statistics(lake, tmp_path, dt, 1.5 if dt >= DAYS[-2] else 1.0, bins)
        numbers = [Number(Name("reactions"), 100.0 + int(dt[-2:]) % 3), Number(Name("share", "<b>"), 0.5, 100)]
        lake.write("toy", c.PRODUCT_METRICS, dt, series_table(numbers), sort_by=["metric"])
    found = [
        Finding(
            "minutes", "user", q.PSI, "<= 0.25", "2", "block", False, DAYS[-1], "user feature minutes", since=DAYS[-2]
        ),
        Finding("likes", "user", q.PSI, "<= 0.25", "0", "block", True, DAYS[-1], "user feature likes"),
    ]
    commit(lake, verdict_of(lake, EXPERIMENT, FEATURE_VERDICT, DAYS[-1], found))


@pytest.fixture(scope="module")
def filled(server: Server, tmp_path_factory) -> Server:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
            patch.delenv(name, raising=False)
        fill(Lake(load_project(server.root).lake_root), tmp_path_factory.mktemp("statistics"))
    return server


@pytest.fixture(scope="module")
def view(filled: Server):
    return monitoring_view(load_project(filled.root), EXPERIMENT)


# -- what is read ------------------------------------------------------------------------------------------------------


def test_features_come_worst_first_with_their_finding(view) -> None:
    worst, *others = view.board.features
    assert (worst.feature, worst.state, worst.finding.since) == ("minutes", "block", DAYS[-2])
    assert {one.state for one in others} == {"ok"}
    assert [one.judged for one in view.board.features] == [True, True, False]
    assert view.board.dts == tuple(DAYS)


def test_numbers_are_those_of_the_statistics(view, filled: Server) -> None:
    lake = Lake(load_project(filled.root).lake_root)
    one = view.board.of("user", "minutes")
    rows = {
        row[c.DT]: row
        for row in lake.read(EXPERIMENT, c.FEATURE_STATISTICS, DAYS).to_pylist()
        if row["feature"] == "minutes"
    }
    assert one.numbers[q.MEAN].tolist() == [rows[dt][q.MEAN] for dt in DAYS]
    psi = one.numbers[q.PSI]
    assert psi[-2:].min() > 1.0
    assert psi[:-2].max() < 0.1
    assert one.last(q.MEAN) == pytest.approx(7.5, abs=0.2)


def test_a_day_counted_on_other_bins_is_not_compared(tmp_path) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, tmp_path)
    write_statistics(lake, tmp_path, DAYS[3], 1.0, None)
    psi = feature_series(lake, EXPERIMENT).of("user", "likes").numbers[q.PSI]
    assert np.flatnonzero(np.isnan(psi)).tolist() == [3]


def test_a_table_of_numbers_has_its_band(view) -> None:
    (table,) = view.tables
    assert (table.scope, table.table) == ("toy", c.PRODUCT_METRICS)
    assert {str(line.series.name) for line in table.lines} == {"reactions", "share of <b>"}
    reactions = next(line for line in table.lines if line.series.name.metric == "reactions")
    assert reactions.newest.band.low <= 102 <= reactions.newest.band.high


def test_nothing_committed_is_an_empty_page(tmp_path) -> None:
    assert feature_series(Lake(tmp_path), EXPERIMENT).features == ()


def test_what_was_read_is_kept_for_some_seconds(monkeypatch, view) -> None:
    read, now = [], [0.0]
    monkeypatch.setattr("ok_ml.console.monitoring.time.monotonic", lambda: now[0])
    views = Views(lambda name: (read.append(name), view)[1], [EXPERIMENT])
    for seconds, count in ((0.0, 1), (FRESH_SECONDS, 1), (FRESH_SECONDS + 0.1, 2)):
        now[0] = seconds
        assert views.of(EXPERIMENT) is view
        assert len(read) == count


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/monitoring", f"/monitoring/{EXPERIMENT}", f"/monitoring/{EXPERIMENT}?feature=user-minutes",
                                  "/monitoring/unpublished"])  # fmt: skip
def test_the_page_keeps_what_every_page_keeps(filled: Server, path: str) -> None:
    answered = filled.get(path, accept="text/html")
    page = Page(answered.text)
    assert answered.status == 200
    assert page.open == []
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert page.all("script") == []
    assert "unsafe" not in answered.headers["content-security-policy"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in page.elements:
        assert "style" not in attributes
        assert name != "svg" or attributes["aria-hidden"] == "true"
        assert name != "th" or attributes["scope"] in ("col", "row")
    for attributes in page.all("a"):
        assert re.match(r"[/#]|http://127\.0\.0\.1:", attributes["href"] or "")
    for attributes in page.all("div"):
        if attributes.get("role") == "region":
            assert attributes["aria-labelledby"] in ids


def test_a_feature_has_its_message_its_lines_and_its_days(view) -> None:
    worst = view.board.features[0]
    row = feature_in_full(view, worst)
    shown = render("feature.html", current="", neighbours={}, view=view, row=row, head=BY_DAY_HEAD)
    text = Page(shown).text
    assert f"user feature minutes on {DAYS[-1]}: psi is 2, expected <= 0.25, since {DAYS[-2]}" in text
    assert all(dt in text for dt in DAYS)
    whole = Page(render("monitoring.html", current="", neighbours={}, **monitored(view)))
    assert whole.text.index("minutes") < whole.text.index("likes")
    assert f"/monitoring/{EXPERIMENT}?feature=user-minutes" in [a["href"] for a in whole.all("a")]
    assert "<odd>" in whole.text  # escaped in the source, since the page was parsed whole
    assert len(whole.all("svg")) >= 3 * len(view.board.features)


@pytest.mark.parametrize("path", ["/monitoring/nope", f"/monitoring/{EXPERIMENT}?feature=user-nope", "/monitoring/a/b"])
def test_what_is_not_there_is_said(filled: Server, path: str) -> None:
    answered = filled.get(path)
    assert answered.status == 404
    assert "known: " in answered.json["detail"] or "no feature" in answered.json["detail"]


# -- lines -------------------------------------------------------------------------------------------------------------


def drawn(plot: Spark) -> dict[str, dict[str, str]]:
    svg = environment().get_template("macros.html").module.spark(plot)
    return {element.attrib["class"].split()[0]: element.attrib for element in ET.fromstring(svg)}


def test_a_line_by_hand() -> None:
    found = drawn(spark([0.0, None, 2.0, 4.0], width=38, height=48))
    assert found["sp-line"]["d"] == "M4.0 44.0h0.1M24.0 24.0L34.0 4.0"
    assert (found["sp-dot"]["cx"], found["sp-dot"]["cy"]) == ("34.0", "4.0")


def test_a_band_and_levels_share_the_axis() -> None:
    found = drawn(
        spark([2.0, 2.0], band=([0.0, 0.0], [4.0, 4.0]), levels=[("limit", 3.0), ("far", 99.0)], width=38, height=48)
    )
    assert found["sp-band"]["d"] == "M4.0 4.0L34.0 4.0L34.0 44.0L4.0 44.0Z"
    assert found["sp-level"]["d"] == "M0 14.0H38"


def test_noise_does_not_fill_the_axis_and_zero_is_at_the_bottom() -> None:
    assert drawn(spark([0.0, 0.01], zero=True, reach=0.1, width=38))["sp-line"]["d"] == "M4.0 44.0L34.0 40.0"
    assert drawn(spark([0.0, 0.0], zero=True, width=38))["sp-line"]["d"] == "M4.0 44.0L34.0 44.0"


@pytest.mark.parametrize("values", [[], [None], [float("nan"), None]])
def test_nothing_is_drawn_of_nothing(values) -> None:
    assert drawn(spark(values)) == {}
