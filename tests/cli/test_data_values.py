"""`ok-ml data` on the values of strangers' logs: ids in several spellings, markers of nobody, sessions, half a last day."""

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from ok_ml.config.models import DatasetConfig
from tests.small_project import edit

Ok = Callable[..., object]
START = datetime(2024, 3, 1)  # noqa: DTZ001
Row = tuple[object, object, datetime]


def plain(users: int = 60, sources: int = 40, days: int = 20, events: int = 30, seed: int = 5) -> list[Row]:
    """Events of people with tastes, all over the days."""
    draw = random.Random(seed)
    return [
        (
            user,
            draw.choice(range(1 + user % 4, sources + 1, 4)) if draw.random() < 0.7 else draw.randint(1, sources),
            START + timedelta(seconds=draw.randrange(days * 86_400)),
        )
        for user in range(1, users + 1)
        for _ in range(events)
    ]


def write(root: Path, rows: Iterable[Row], name: str = "log.csv", names: str = "user_id,item_id,ts") -> str:
    ordered = sorted(rows, key=lambda row: row[2])
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(names + "\n" + "".join(f"{u},{s},{t:%Y-%m-%d %H:%M:%S}\n" for u, s, t in ordered))
    return name


def checked(ok: Ok, root: Path, rows: Iterable[Row]) -> object:
    """What the check says of a log that the preview has mapped."""
    assert ok("data", "preview", write(root, rows), "--write", "log").code == 0
    return ok("data", "check", "log", "--json")


def told(shown: object, level: str) -> str:
    return " / ".join(one["text"] for one in shown.json["findings"] if one["level"] == level)


def mapping(root: Path, name: str = "log") -> DatasetConfig:
    return DatasetConfig.model_validate(YAML(typ="safe").load((root / f"configs/datasets/{name}.yml").read_text()))


# -- spellings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hashed", [False, True])
def test_days_that_pandas_wrote_as_floats_are_days_of_the_same_people(ok: Ok, root: Path, *, hashed: bool) -> None:
    rows = plain()
    for day in range(20):
        of_day = [row for row in rows if (row[2] - START).days == day]
        spelt = [(f"{u}.0" if day % 5 == 4 else u, s, t) for u, s, t in of_day]
        write(root, spelt, f"daily/log_{START + timedelta(days=day):%Y-%m-%d}.csv")
    first = "daily/log_2024-03-05.csv"  # itself one with floats
    assert ok("data", "preview", first, "--write", "log").code == 0
    found = mapping(root).events
    assert (found.path, found.columns["user_id"], found.columns["source_id"]) == (
        "daily/log_{dt}.csv",
        "user_id",
        "item_id",
    )
    if hashed:
        edit(root, "configs/datasets/log.yml", "  time:", "  hash_ids: [user_id]\n  time:")
    shown = ok("data", "check", "log", "--json")
    assert (shown.code, shown.json["users"], shown.json["set_aside"], shown.json["emptied"]) == (0, 60, {}, {})


@pytest.mark.parametrize(
    ("spell", "spelling", "example"),
    [(lambda user: f"{user:04}", "number", "0001 and 1"), (lambda user: f"+{user}", "number", "+1 and 1")],
)
def test_texts_that_differ_in_zeros_or_signs_are_told_with_the_line_that_settles_it(
    ok: Ok, root: Path, spell: Callable[[object], str], spelling: str, example: str
) -> None:
    rows = [(spell(u) if t.day % 2 else u, s, t) for u, s, t in plain()]
    write(root, rows)
    assert ok("data", "preview", "log.csv", "--write", "log").code == 0
    as_numbers = ok("data", "check", "log", "--json")
    assert as_numbers.json["users"] == 60
    assert f"60 users are spelt in more than one way, e.g. {example}: as numbers each is one" in told(
        as_numbers, "warn"
    )
    edit(root, "configs/datasets/log.yml", "  time:", "  hash_ids: [user_id]\n  time:")
    shown = ok("data", "check", "log", "--json")
    assert shown.json["users"] == 120
    assert "60 users are spelt in more than one way" in told(shown, "warn")
    [remedy] = [one["remedy"] for one in shown.json["findings"] if "spelt" in one["text"]]
    line = f"id_spelling: {{user_id: {spelling}}}"
    assert line in remedy
    edit(root, "configs/datasets/log.yml", "  time:", f"  {line}\n  time:")
    settled = ok("data", "check", "log", "--json")
    assert (settled.json["users"], "spelt" in told(settled, "warn")) == (60, False)


def test_codes_with_leading_zeros_stay_texts(ok: Ok, root: Path) -> None:
    write(root, [(f"{u:06}", s, t) for u, s, t in plain()])
    assert ok("data", "preview", "log.csv", "--write", "log").code == 0
    assert mapping(root).events.hash_ids == ("user_id",)


def test_uuids_of_two_writers_are_one_person_each(ok: Ok, root: Path) -> None:
    def spelt(user: int, day: int) -> str:
        text = f"{user:08x}-9d3f-4a21-8e55-0a1b2c3d4e5f"
        return text.upper() if day % 2 else text

    shown = checked(ok, root, [(spelt(int(str(u)), t.day), s, t) for u, s, t in plain()])
    assert mapping(root).events.id_spelling == {"user_id": "uuid"}
    assert (shown.code, shown.json["users"]) == (0, 60)


# -- nobody and nothing ----------------------------------------------------------------------------------------------

MARKERS = ["nan", "NULL", "None", r"\N", "null", "NA", "N/A", "(null)", "undefined", "-"]


def with_markers() -> list[Row]:
    return [
        (MARKERS[n // 4 % 10] if n % 4 == 0 else f"dev{u:04}", "nan" if n % 9 == 0 else f"artist{s}", t)
        for n, (u, s, t) in enumerate(plain())
    ]


def test_markers_of_nothing_are_no_people_and_no_sources(ok: Ok, root: Path) -> None:
    rows = with_markers()
    shown = checked(ok, root, rows)
    kept = [row for row in rows if row[0] not in MARKERS and row[1] != "nan"]
    assert (shown.code, shown.json["users"], shown.json["sources"], shown.json["events"]) == (0, 60, 40, len(kept))
    assert set(shown.json["set_aside"]) == {"nobody", "no_source"}
    assert "looks like" not in told(shown, "warn")


def test_markers_that_a_mapping_keeps_are_told_with_counts_and_the_line(ok: Ok, root: Path) -> None:
    checked(ok, root, with_markers())
    path = root / "configs/datasets/log.yml"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "drop_if" not in line))
    shown = ok("data", "check", "log", "--json")
    assert "200 events have source_id nan, which looks like an unknown source (11.1% of all)" in told(shown, "warn")
    assert "which look like an unknown user (25.0% of all)" in told(shown, "warn")
    remedies = [one["remedy"] for one in shown.json["findings"] if "look" in one["text"]]
    lines = [remedy.partition("drop_if: {")[2].removesuffix("}") for remedy in remedies]
    edit(root, "configs/datasets/log.yml", "  time:", "  drop_if: {" + ", ".join(lines) + "}\n  time:")
    settled = ok("data", "check", "log", "--json")
    assert (settled.json["users"], settled.json["sources"]) == (60, 40)
    text = ok("data", "check", "log").out
    assert "; the largest one, artist" in text


def test_a_country_called_na_is_a_source_like_others(ok: Ok, root: Path) -> None:
    codes = ["NA", "ZA", "BW", "AO", "US", "GB", "DE", "FR", *(f"X{number}" for number in range(32))]
    shown = checked(ok, root, [(u, codes[int(str(s)) - 1], t) for u, s, t in plain()])
    assert (shown.code, shown.json["sources"], shown.json["set_aside"]) == (0, 40, {})
    assert "looks like" not in told(shown, "warn")


def test_ids_counted_from_zero_are_people(ok: Ok, root: Path) -> None:
    shown = checked(ok, root, [(int(str(u)) - 1, s, t) for u, s, t in plain()])
    assert (shown.json["users"], told(shown, "warn")) == (60, "")


# -- who comes back --------------------------------------------------------------------------------------------------


def test_a_log_of_visits_is_stopped_and_the_person_is_named(ok: Ok, root: Path) -> None:
    rows = plain()
    visits = [(f"{u}{(t - START).days:03},c{u}", s, t) for u, s, t in rows]
    write(root, visits, names="user_id,cookie,item_id,ts")
    assert ok("data", "preview", "log.csv", "--write", "log").code == 0
    assert mapping(root).events.columns["user_id"] == "user_id"
    shown = ok("data", "check", "log", "--json")
    assert shown.code == 1
    assert "user_id looks like a visit and not like a person: 0 of " in told(shown, "stop")
    [remedy] = [one["remedy"] for one in shown.json["findings"] if "visit" in one["text"]]
    assert "columns: {user_id: cookie}" in remedy


def test_visits_without_a_person_are_stopped_with_what_kind_of_log_it_is(ok: Ok, root: Path) -> None:
    shown = checked(ok, root, [(f"{u}{(t - START).days:03}", s, t) for u, s, t in plain()])
    assert shown.code == 1
    [remedy] = [one["remedy"] for one in shown.json["findings"] if "visit" in one["text"]]
    assert "if people only ever come once, no list can be learnt for them" in remedy


def test_newcomers_only_are_stopped(ok: Ok, root: Path) -> None:
    draw = random.Random(1)
    rows = [
        (u, s, START + timedelta(days=u // 30, seconds=draw.randrange(86_400)))
        for u in range(600)
        for s in draw.sample(range(40), 3)
    ]
    shown = checked(ok, root, rows)
    assert shown.code == 1
    assert "0 of 600 users come on a second day" in told(shown, "stop")


def test_ten_users_are_too_few_and_that_is_said(ok: Ok, root: Path) -> None:
    shown = checked(ok, root, plain(users=10))
    assert shown.code == 1
    assert "10 users are too few: at least 20 who come on a second day are needed" in told(shown, "stop")


def test_a_log_in_which_nothing_is_new_is_stopped_before_the_work(ok: Ok, root: Path) -> None:
    same = plain(users=1, events=60)
    shown = checked(ok, root, [(user, s, t) for user in range(60) for _, s, t in same])
    assert shown.code == 1
    assert "0.00 of 20 sources are left to a user on average" in told(shown, "stop")


@pytest.mark.parametrize("rows", [plain(), plain(users=80, sources=30, events=60)])
def test_honest_logs_can_work_without_a_word(ok: Ok, root: Path, rows: list[Row]) -> None:
    shown = checked(ok, root, rows)
    assert (shown.code, shown.json["findings"]) == (0, [])
    assert shown.json["come_back"] == shown.json["users"]


# -- days --------------------------------------------------------------------------------------------------------------


def test_days_without_a_usable_row_stop_the_check_the_last_one_too(ok: Ok, root: Path) -> None:
    checked(ok, root, [(f"user {u}" if t.day in (5, 20) else u, s, t) for u, s, t in plain()])
    edit(root, "configs/datasets/log.yml", "  hash_ids: [user_id]\n", "")
    shown = ok("data", "check", "log", "--json")
    assert shown.code == 1
    assert list(shown.json["emptied"]) == ["2024-03-05", "2024-03-20"]
    assert "rows and no event, where a run would stop: 2024-03-05, 2024-03-20" in told(shown, "stop")


def test_a_last_day_that_ends_at_noon_is_named_and_left_out(ok: Ok, root: Path) -> None:
    rows = [row for row in plain(events=60) if row[2] < datetime(2024, 3, 20, 11, 40)]  # noqa: DTZ001
    shown = checked(ok, root, rows)
    assert shown.code == 0
    assert mapping(root).partition.partial_last_day == "leave_out"
    assert "the last day, 2024-03-20, ends at 11:" in told(shown, "warn")
    assert ": it is left out" in told(shown, "warn")


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.uuid(), pa.binary(16), pa.binary()])
def test_uuids_and_bytes_of_parquet_are_previewed_and_checked(ok: Ok, root: Path, kind: pa.DataType) -> None:
    rows = plain()
    columns = {
        "user_id": pa.array([int(str(row[0])).to_bytes(15, "big") + b"\xff" for row in rows], kind),
        "item_id": pa.array([f"item{row[1]}".encode() for row in rows], pa.binary()).dictionary_encode(),
        "ts": pa.array([row[2] for row in rows]),
        "clock": pa.array([row[2].time() for row in rows]),
    }
    pq.write_table(pa.table(columns), root / "log.parquet")
    assert ok("data", "preview", "log.parquet", "--write", "log").code == 0
    assert mapping(root).events.hash_ids == ("user_id", "source_id", "item_id")
    shown = ok("data", "check", "log", "--json")
    assert (shown.code, shown.json["users"], shown.json["sources"], shown.json["set_aside"]) == (0, 60, 40, {})
