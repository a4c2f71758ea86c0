"""Charts with bands: which days are outside, and that also the least can be drawn."""

import struct
from datetime import date, timedelta

import pytest

from ok_ml.quality.plots.band_plots import Panel, band_chart, band_panels, bands_of, outside, said
from ok_ml.quality.statistics.number_series import Name, Number, Series, as_series

NAME = Name("reactions")
DTS = [(date(2026, 1, 5) + timedelta(days=number)).isoformat() for number in range(24)]


@pytest.fixture(scope="module")
def days():
    """A quiet series about 1,000 that falls to a third on its last day."""
    values = [1000 + (number * 37) % 23 for number in range(23)] + [330]
    return {dt: {NAME: Number(NAME, float(value), 500)} for dt, value in zip(DTS, values, strict=True)}


def test_the_day_that_fell_is_outside_its_band_and_no_other(days):
    bands = bands_of(days, NAME)
    assert sorted(bands) == DTS[14:]  # two weeks make the first band
    assert outside(as_series(days)[NAME], bands) == [DTS[-1]]


def test_days_that_were_found_wrong_make_no_band(days):
    longer = {**days, "2026-01-29": days[DTS[3]]}
    with_it = bands_of(longer, NAME)["2026-01-29"]
    without = bands_of(longer, NAME, leave_out={DTS[-1]})["2026-01-29"]
    assert without.high - without.low < with_it.high - with_it.low


CASES = {
    "a band": lambda days, path: band_chart(as_series(days)[NAME], bands_of(days, NAME), marks={DTS[9]: "model 2"}, path=path),
    "shares without a band": lambda days, path: band_chart(Series(NAME, ("2026-01-05",), (0.5,), (1,)), {}, share=True, path=path),
    "gaps": lambda days, path: band_chart(Series(NAME, tuple(DTS[:3]), (1.0, None, 1.0), (1, 1, 1)), {}, path=path),
    "no day": lambda days, path: band_chart(Series(NAME, (), (), ()), {}, path=path),
    "no panel": lambda days, path: band_panels([], title="nothing", path=path),
    "two lines": lambda days, path: band_panels([Panel("x", {"a": as_series(days)[NAME], "b": as_series(days)[NAME]}, from_zero=True)], title="t", path=path),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("error")
def test_a_chart_is_a_png(name, days, tmp_path):
    image = CASES[name](days, tmp_path / "deep" / "chart.png")
    assert (tmp_path / "deep" / "chart.png").read_bytes() == image
    assert image.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", image[16:24])
    assert width == 880
    assert height > 100


def test_a_day_that_was_held_back_is_shaded_and_one_outside_of_the_chart_is_no_matter(days):
    series, bands = as_series(days)[NAME], bands_of(days, NAME)
    plain = band_chart(series, bands)
    assert band_chart(series, bands, held=[DTS[-1]]) != plain
    assert band_chart(series, bands, held=["2031-01-01"]) == plain


def test_numbers_for_people():
    assert [said(0.1234, share=True), said(0.1, share=True), said(12345.6), said(0.123456), said(None)] == [
        "12.3%",
        "10%",
        "12,346",
        "0.1235",
        "none",
    ]
