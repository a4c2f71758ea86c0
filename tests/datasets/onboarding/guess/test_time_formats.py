"""Every time that the reader reads is found by the preview, and read as the moment that it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.datasets.conversion.times import read_times
from ok_ml.datasets.onboarding.guess.preview import Preview, preview_file
from ok_ml.datasets.onboarding.guess.written_times import formats_of
from ok_ml.errors import DataError

START = datetime(2024, 3, 1, 0, 23, 57, tzinfo=UTC)
MOMENTS = [START + timedelta(seconds=5407 * number) for number in range(500)]
Written = Callable[[int, datetime], str]


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def preview(folder: Path, written: Written, name: str = "ts") -> Preview:
    rows = (f'{number % 40},{number % 17},"{written(number, moment)}"\n' for number, moment in enumerate(MOMENTS))
    (folder / "log.csv").write_text(f"user_id,item_id,{name}\n" + "".join(rows))
    return preview_file(folder / "log.csv", "mine", folder, shown=1)


def micros_of(found: Preview, folder: Path) -> list[int]:
    from ok_ml.datasets.onboarding.guess.samples import read_sample

    times = read_times(read_sample(folder / "log.csv").table, found.proposal.config.events.time, "mine")
    assert not times.bad.any()
    return [int(value) for value in times.micros]


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (lambda _, t: f"{seconds(t)}", "epoch_s"),
        (lambda _, t: f"{seconds(t)}.0", "epoch_s"),
        (lambda _, t: f"{seconds(t)}.000000", "epoch_s"),
        (lambda _, t: f"{seconds(t):.9e}", "epoch_s"),
        (lambda _, t: f"{seconds(t):.9E}", "epoch_s"),
        (lambda _, t: f"{seconds(t)}000", "epoch_ms"),
        (lambda _, t: f"{seconds(t)}000.0", "epoch_ms"),
        (lambda _, t: f"{seconds(t)}000000", "epoch_us"),
        (lambda _, t: f"{seconds(t)}000000000", "epoch_ns"),
        (lambda _, t: f"{seconds(t) * 10**9:.9e}", "epoch_ns"),
        (lambda _, t: f"{t:%Y-%m-%d %H:%M:%S} UTC", "auto"),
        (lambda _, t: f"{t:%Y-%m-%d %H:%M:%S} GMT", "auto"),
        (lambda _, t: f"{t:%Y-%m-%d %H:%M:%S}Z", "auto"),
        (lambda _, t: f"{t:%Y-%m-%dT%H:%M:%S}.123456789Z"[:19] + "Z", "auto"),
        (lambda _, t: f"{t + timedelta(hours=3):%Y-%m-%d %H:%M:%S} Europe/Moscow", "auto"),
        (lambda _, t: f"{t + timedelta(hours=3):%Y-%m-%d %H:%M:%S} MSK", "auto"),
        (lambda _, t: f"{t - timedelta(hours=5):%Y-%m-%d %H:%M:%S} EST", "auto"),
        (lambda _, t: f"{t + timedelta(hours=3):%Y-%m-%d %H:%M:%S} +0300", "auto"),
        (lambda _, t: t.astimezone(timezone(timedelta(hours=3))).isoformat() + "[Europe/Moscow]", "auto"),
        (lambda _, t: f"{t:%Y%m%dT%H%M%SZ}", "auto"),
        (lambda _, t: f"{t:%Y-%m-%d %H:%M:%S},000", "auto"),
        (lambda _, t: f"{25569 + seconds(t) / 86400:.9f}", "epoch_d"),
        (lambda _, t: f"{t:%Y%m%d%H%M%S}", "%Y%m%d%H%M%S"),
        (lambda _, t: f"{t:%d.%m.%Y %H:%M:%S}", "%d.%m.%Y %H:%M:%S"),
        (lambda _, t: f"{t:%m/%d/%Y %I:%M:%S %p}", "%m/%d/%Y %I:%M:%S %p"),
        (lambda _, t: f"{t:%a %b %d %H:%M:%S %Y}", "%a %b %d %H:%M:%S %Y"),
        (lambda _, t: f"{t:%a %b %d %H:%M:%S +0000 %Y}", "%a %b %d %H:%M:%S %z %Y"),
        (lambda _, t: f"{t:%a %b %d %H:%M:%S UTC %Y}", "%a %b %d %H:%M:%S UTC %Y"),
        (lambda _, t: f"{t:[%d/%b/%Y:%H:%M:%S +0000]}", "[%d/%b/%Y:%H:%M:%S %z]"),
        (lambda _, t: f"{t:%d-%b-%y %I.%M.%S.000000000 %p}", "%d-%b-%y %I.%M.%S.%f %p"),
        (lambda _, t: f"{t:%Y-%m-%d-%H.%M.%S.000000}", "%Y-%m-%d-%H.%M.%S.%f"),
        (lambda _, t: f"{t:%A, %B %d, %Y %H:%M:%S}", "%A, %B %d, %Y %H:%M:%S"),
        (lambda _, t: f"{t:%a, %d %b %Y %H:%M:%S GMT}", "%a, %d %b %Y %H:%M:%S GMT"),
        (lambda _, t: f"{t:%d %B %Y, %H:%M:%S}", "%d %B %Y, %H:%M:%S"),
        (lambda _, t: f"{t:%y/%m/%d %H:%M:%S}", "%y/%m/%d %H:%M:%S"),
        (lambda _, t: f"{t:%Y-%m-%d_%H:%M:%S}", "auto"),
        (lambda _, t: f"{t:%d.%m.%Y %H:%M:%S}.123456789"[:19], "%d.%m.%Y %H:%M:%S"),
        (lambda n, t: f"{seconds(t) * (1000 if n % 3 else 1)}", "epoch"),
        (lambda n, t: f"{t:%Y-%m-%d %H:%M:%S}" if n % 3 else f"{t:%d.%m.%Y %H:%M:%S}", ("auto", "%d.%m.%Y %H:%M:%S")),
        (lambda n, t: f"{t:%Y-%m-%d %H:%M:%S}" if n % 3 else f"{seconds(t)}000", ("auto", "epoch")),
    ],
)
def test_a_time_is_found_and_read(tmp_path: Path, written: Written, form: object) -> None:
    found = preview(tmp_path, written)
    assert found.proposal.config.events.time.format == form
    assert found.events == len(MOMENTS)
    read = micros_of(found, tmp_path)
    assert max(abs(micros - seconds(t) * 1_000_000) for micros, t in zip(read, MOMENTS, strict=True)) < 1_000


def test_doubles_of_parquet_and_moments_before_1990(tmp_path: Path) -> None:
    for shift, name in ((0, "double"), (45 * 31_557_600, "old")):
        path = tmp_path / f"{name}.parquet"
        times = [float(seconds(t) - shift) for t in MOMENTS]
        pq.write_table(
            pa.table({"user_id": [n % 40 for n in range(500)], "item_id": [n % 17 for n in range(500)], "ts": times}),
            path,
        )
        found = preview_file(path, "mine", tmp_path, shown=1)
        assert (found.proposal.config.events.time.format, found.events) == ("epoch_s", 500)
    found = preview(tmp_path, lambda _, t: f"{t.replace(year=1985):%d.%m.%Y %H:%M}")
    assert (found.proposal.config.events.time.format, found.events) == ("%d.%m.%Y %H:%M", 500)


def test_excel_days_count_from_the_end_of_1899(tmp_path: Path) -> None:
    found = preview(tmp_path, lambda _, t: str(25569 + seconds(t) // 86400), "date")
    assert found.proposal.config.events.time.origin == "1899-12-30"
    assert micros_of(found, tmp_path)[0] == 1_709_251_200_000_000
    assert "its numbers could be day numbers of Excel" in found.proposal.doubts


@pytest.mark.parametrize(
    ("name", "unit", "form"), [("ts", 1, "epoch_s"), ("time_ms", 1000, "epoch_ms"), ("day", 1 / 86400, "epoch_d")]
)
def test_a_count_from_the_logs_begin_is_read_with_a_doubt(tmp_path: Path, name: str, unit: float, form: str) -> None:
    found = preview(tmp_path, lambda n, _: str(int(5407 * n * unit)), name)
    time = found.proposal.config.events.time
    assert (time.format, time.origin, found.events) == (form, "2000-01-01", 500)
    assert any("counts from the log's begin, which no value says" in doubt for doubt in found.proposal.doubts)


def test_how_long_something_took_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'watch_time' holds 3, 4, 5"):
        preview(tmp_path, lambda n, _: str(3 + n % 3), "watch_time")


def test_what_the_column_called_a_time_holds_is_shown_with_the_formats_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(?s)\(columns: user_id, item_id, ts\): 'ts' holds w0, w1, w2.*ISO 8601, epoch_s, .*strptime"
    ):
        preview(tmp_path, lambda n, _: f"w{n % 3}")


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("3/1/24 10:05", ["%d/%m/%y %H:%M", "%m/%d/%y %H:%M", "%y/%m/%d %H:%M"]),
        ("Mar  1 2024 10:05AM", ["%b %d %Y %I:%M%p"]),
        ("20240301", ["%Y%m%d"]),
        ("hello world", []),
        ("12345", []),
        ("v1.2.3", []),
        ("10:05", []),
    ],
)
def test_formats_are_made_from_the_pieces(text: str, forms: list[str]) -> None:
    assert formats_of(text) == forms
