"""`ok-ml data`: a file that nobody prepared becomes a mapping, and a mapped log is judged before anything is computed."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from ok_ml.config.loader import load_project
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.onboarding.guess.words import event_type_of, tokens
from ok_ml.hashing import text_id
from ok_ml.partitions import minus_days, training_calendar
from tests.cli import published
from tests.cli.test_main import HEAVY, environment
from tests.small_project import edit

Ok = Callable[..., "object"]
START = datetime(2024, 3, 1, 8, tzinfo=UTC)
DAYS, USERS = 8, 60
VERBS = ("view", "like", "hide", "subscribe")


def moments() -> Iterator[tuple[int, int, int, str, datetime]]:
    """User, owner, post, what they did, when: sixty users on eight days."""
    for number in range(DAYS * USERS * 2):
        user, day = number % USERS, number // (USERS * 2)
        moment = START + timedelta(days=day, minutes=number % 600)
        yield 1000 + user, 10 + (user * 7 + number // USERS) % 40, 500_000 + number, VERBS[number % 4], moment


def write_csv(
    path: Path, header: list[str] | None, rows: list[list[object]], *, mark: str = ",", encoding: str = "utf-8"
) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark, lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def mapping_of(shown: object) -> DatasetConfig:
    return DatasetConfig.model_validate(YAML(typ="safe").load(shown.out))


# -- guessing ------------------------------------------------------------------------------------------------------


def test_a_plain_log_is_understood_by_its_names(ok: Ok, root: Path) -> None:
    rows = [[u, o, p, v, t.isoformat()] for u, o, p, v, t in moments()]
    write_csv(root / "log.csv", ["userId", "authorId", "postId", "action", "created_at"], rows)
    shown = ok("data", "preview", "log.csv", "--rows", "2")
    assert shown.code == 0, shown.err
    config = mapping_of(shown)
    assert (config.dataset, config.events.path, config.events.format) == ("log", "log.csv", "csv")
    assert config.events.columns == {
        "user_id": "userId",
        "source_id": "authorId",
        "item_id": "postId",
        "event_type": "action",
    }
    assert config.events.event_types == {"view": "click", "like": "like", "hide": "hide", "subscribe": "subscribe"}
    assert config.events.time.columns == ("created_at",)
    assert (config.events.hash_ids, config.has_impressions) == ((), False)
    assert "960 rows, 960 events" in shown.err
    assert "1000     10         500000" in shown.err
    assert len(shown.out.splitlines()) <= 22


def test_an_export_with_semicolons_moscow_times_and_russian_words(ok: Ok, root: Path) -> None:
    rows = [[u, f"Группа {o}", p, "класс", f"{t:%d.%m.%Y %H:%M}", "1,5"] for u, o, p, _, t in moments()]
    header = ["Пользователь", "Группа", "Пост", "Действие", "Когда", "Сумма"]
    write_csv(root / "Выгрузка.csv", header, rows, mark=";", encoding="cp1251")
    shown = ok("data", "preview", "Выгрузка.csv", "--timezone", "Europe/Moscow", "--json")
    found = shown.json
    config = DatasetConfig.model_validate(YAML(typ="safe").load(found["mapping"]))
    assert (config.events.delimiter, config.events.encoding, config.dataset) == (";", "cp1251", "log")
    assert config.events.columns == {
        "user_id": "Пользователь",
        "source_id": "Группа",
        "item_id": "Пост",
        "event_type": "Действие",
    }
    assert (config.events.time.format, config.events.time.timezone) == ("%d.%m.%Y %H:%M", "Europe/Moscow")
    assert config.events.hash_ids == ("source_id",)
    assert config.sources is not None
    assert config.sources.columns == {"source_id": "Группа", "name": "Группа"}
    assert found["rows"][0]["event_time"] == "2024-03-01T05:00:00Z"
    assert found["rows"][0]["user_id"] == "1000"
    assert (found["events"], found["set_aside"], found["whole_file"]) == (960, {}, True)


def test_decimal_commas_do_not_hide_the_delimiter(ok: Ok, root: Path) -> None:
    lines = [f"{user}|{user % 7}|{1767571200000 + user * 3_600_000}|{user % 5},5" for user in range(1, 300)]
    (root / "plays.psv").write_text("\n".join(["listener|artist|when|score", *lines]) + "\n")
    found = mapping_of(ok("data", "preview", "plays.psv")).events
    assert found.delimiter == "|"
    assert found.columns["user_id"] == "listener"
    assert (found.time.columns, found.time.format) == (("when",), "epoch_ms")


def test_a_feed_log_with_a_list_of_reactions(ok: Ok, root: Path) -> None:
    records = list(moments())
    table = pa.table(
        {
            "instanceId_userId": [row[0] for row in records],
            "metadata_ownerId": [row[1] for row in records],
            "instanceId_objectId": [row[2] for row in records],
            "instanceId_objectType": ["Post"] * len(records),
            "audit_pos": [number % 20 for number in range(len(records))],
            "audit_timestamp": [int(row[4].timestamp() * 1000) for row in records],
            "feedback": [[["Ignored"], ["Liked", "Clicked"], []][number % 3] for number in range(len(records))],
        }
    )
    for dt in ("2018-02-01", "2018-02-02"):
        (root / f"sna/date={dt}").mkdir(parents=True)
        pq.write_table(table, root / f"sna/date={dt}/part-0.parquet")
    config = mapping_of(ok("data", "preview", "sna/date=2018-02-01/part-0.parquet"))
    assert config.events.path == "sna/date={dt}/part-0.parquet"
    assert config.events.columns == {
        "user_id": "instanceId_userId",
        "source_id": "metadata_ownerId",
        "item_id": "instanceId_objectId",
        "position": "audit_pos",
        "content_type": "instanceId_objectType",
    }
    assert (config.events.constants, config.has_impressions) == ({"event_type": "impression"}, True)
    assert config.events.reactions is not None
    assert config.events.reactions.event_types == {"Liked": "like", "Clicked": "click", "Ignored": None}
    assert config.events.time.format == "epoch_ms"


def test_json_lines_with_an_event_id_and_mixed_users(ok: Ok, root: Path) -> None:
    lines = [
        orjson.dumps(
            {
                "event_id": f"e{number}",
                "member": f"u-{u}",
                "channel": o,
                "video": p,
                "ts": int(t.timestamp()),
                "event": v,
            }
        )
        for number, (u, o, p, v, t) in enumerate(moments())
    ]
    (root / "log.jsonl").write_bytes(b"\n".join([*lines, b"{broken", b""]))
    shown = ok("data", "preview", "log.jsonl")
    config = mapping_of(shown)
    assert (config.events.format, config.events.time.format) == ("jsonl", "epoch_s")
    assert (config.events.unique_by, config.events.hash_ids) == (("event_id",), ("user_id",))
    assert config.events.columns["source_id"] == "channel"
    assert "unreadable_line 1" in shown.err


def test_names_that_say_nothing_and_no_line_of_names(ok: Ok, root: Path) -> None:
    rows = [[u, p % 300, t.strftime("%m/%d/%Y %H:%M"), 4] for u, _, p, _, t in moments()]
    write_csv(root / "u.data", None, rows, mark="\t")
    shown = ok("data", "preview", "u.data")
    config = mapping_of(shown)
    assert config.events.header == ("column_1", "column_2", "column_3", "column_4")
    assert (config.events.time.columns, config.events.time.format) == (("column_3",), "%m/%d/%Y %H:%M")
    assert {config.events.columns["user_id"], config.events.columns["source_id"]} == {"column_1", "column_2"}
    assert "nothing in its name says so?" in shown.out
    assert "decide     user_id is" in shown.err


def test_a_rating_is_named_and_a_flag_of_clicks_becomes_a_reaction(ok: Ok, root: Path) -> None:
    rated = [[u, p % 300, 3 + p % 3, int(t.timestamp())] for u, _, p, _, t in moments()]
    write_csv(root / "ratings.csv", ["userId", "movieId", "rating", "timestamp"], rated)
    shown = ok("data", "preview", "ratings.csv")
    config = mapping_of(shown)
    assert (config.events.columns["event_type"], config.events.columns["source_id"]) == ("rating", "movieId")
    assert config.events.event_types == {"1": "hide", "2": "hide", "3": "hide", "4": "like", "5": "like"}
    assert "decide     'rating': ratings of 1 to 5: from 4 on, the upper quarter of the scale, a like" in shown.err
    assert (config.subscription.event_types, config.weights) == (("hide", "like"), {"like": 2})
    flagged = [[u, o, int(p % 9 == 0), int(t.timestamp())] for u, o, p, _, t in moments()]
    write_csv(root / "shown.csv", ["user", "banner", "clicked", "time"], flagged)
    config = mapping_of(ok("data", "preview", "shown.csv"))
    assert config.events.reactions is not None
    assert config.events.reactions.event_types == {"0": None, "1": "click"}
    assert config.has_impressions


def test_a_time_in_three_columns_on_firsts_of_months(ok: Ok, root: Path) -> None:
    rows = [[u, o, 1, 1 + number % 6, 2009] for number, (u, o, *_) in enumerate(moments())]
    write_csv(root / "tags.dat", ["userID", "artistID", "day", "month", "year"], rows, mark="\t")
    config = mapping_of(ok("data", "preview", "tags.dat"))
    assert config.events.time.columns == ("year", "month", "day")
    assert config.partition.grain == "month"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (None, 2, "nothing.csv is no file"),
        ("", 1, "is empty"),
        ("user,artist,weight\n1,2,3\n1,3,4\n", 1, "no column looks like a time"),
        ("time,price\n2024-03-01,0.5\n2024-03-02,0.7\n", 1, "no column looks like a user"),
        ("just some words\nand others\n", 1, "neither Parquet nor JSON lines"),
    ],
)
def test_what_is_no_log_is_refused_in_six_lines(ok: Ok, root: Path, text: str | None, code: int, message: str) -> None:
    if text is not None:
        (root / "nothing.csv").write_text(text)
    shown = ok("data", "preview", "nothing.csv")
    assert (shown.code, shown.out) == (code, "")
    assert message in shown.err
    assert len(shown.err.splitlines()) <= 6


def test_words_of_names_and_of_events() -> None:
    assert tokens("metadata_ownerId") == ["metadata", "owner", "id"]
    assert tokens("HTTPStatus code-2") == ["http", "status", "code", "2"]
    assert [event_type_of(word) for word in ("ReShared", "product_view", "Класс", "zzz")] == [
        "share",
        "click",
        "like",
        None,
    ]


# -- writing ---------------------------------------------------------------------------------------------------------


def test_write_makes_a_project_that_is_valid_and_never_overwrites(ok: Ok, root: Path) -> None:
    rows = [[u, o, p, v, t.isoformat()] for u, o, p, v, t in moments()]
    write_csv(root / "log.csv", ["userId", "authorId", "postId", "action", "created_at"], rows)
    shown = ok("data", "preview", "log.csv", "--write", "mine")
    assert "written    configs/experiments/mine.yml" in shown.err
    assert "next       ok-ml data check mine" in shown.err
    assert ok("validate").code == 0
    project = load_project(root)
    stages = project.experiments["mine"].stages
    dts = [minus_days("2024-03-09", day) for day in range(8, 0, -1)]
    plan = training_calendar(dts, stages.training_set.label_days, stages.evaluation.days)
    assert (plan.eval_dts, plan.eval_cut) == ((dts[-1],), dts[-2])
    before = (root / "configs/datasets/mine.yml").read_bytes()
    refused = ok("data", "preview", "log.csv", "--write", "mine")
    assert refused.code == 2
    assert "configs/datasets/mine.yml is there already" in refused.err
    assert (root / "configs/datasets/mine.yml").read_bytes() == before
    assert ok("data", "preview", "log.csv", "--write", "My Log").code == 2


def test_too_few_days_write_nothing(ok: Ok, root: Path) -> None:
    rows = [[u, o, p, v, "2024-03-01"] for u, o, p, v, _ in moments()]
    write_csv(root / "log.csv", ["userId", "authorId", "postId", "action", "date"], rows)
    shown = ok("data", "preview", "log.csv", "--write", "mine")
    assert shown.code == 1
    assert "1 partitions of one day are too few for an experiment" in shown.err
    assert not (root / "configs/datasets/mine.yml").exists()


# -- checking --------------------------------------------------------------------------------------------------------


def write_toy(root: Path, rows: list[tuple[object, object, object, object, datetime]]) -> None:
    """The raw log of the small project's dataset `toy`."""
    names = ("u", "s", "i", "e")
    columns = {name: pa.array([str(row[place]) for row in rows]) for place, name in enumerate(names)}
    (root / "toy").mkdir(exist_ok=True)
    pq.write_table(
        pa.table({**columns, "t": [int(row[4].timestamp() * 1000) for row in rows]}), root / "toy/events.parquet"
    )


def toy(days: int = DAYS) -> list[tuple[object, object, object, object, datetime]]:
    rows = [
        (u, o, p, kind, t)
        for u, o, p, _, t in moments()
        for kind in ("seen", "liked")
        if t < START + timedelta(days=days)
    ]
    return rows[: len(rows)]


def test_check_counts_what_the_log_holds(ok: Ok, root: Path) -> None:
    rows = toy()
    cut = [row for row in rows if row[4] >= START + timedelta(days=4) or row[4] < START + timedelta(days=3)]
    late = START + timedelta(days=DAYS - 1)
    cut += [cut[0], (7, 3, 4, "liked", late), ("x", 3, 4, "liked", late), (7, 3, 4, "winked", late)]
    write_toy(root, cut)
    shown = ok("data", "check", "toy", "--json")
    found = shown.json
    assert shown.code == 0
    assert (found["raw_rows"], found["events"]) == (len(cut), len(cut) - 2)
    assert found["set_aside"] == {"bad_user_id": 1, "unknown_event_type": 1}
    assert orjson.loads(found["examples"]["bad_user_id"])["u"] == "x"
    assert (found["users"], found["once"]["users"], found["duplicates"]) == (61, 1, 1)
    assert found["gaps"] == ["2024-03-04"]
    assert (found["first_time"], len(found["partitions"])) == ("2024-03-01T08:00:00Z", 7)
    assert (found["reactions"], found["without_impression"]) == (840 + 1, 1)
    assert found["event_types"] == {"like": 841, "impression": 841}
    assert found["rows_a_partition"]["median"] == 240
    assert found["works"] is True
    text = ok("data", "check", "toy")
    assert "verdict    an experiment can work on toy, with 1 thing to look at" in text.out
    assert "1 day without an event: 2024-03-04" in text.out


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (toy(3), "3 partitions of one day, at least 5 are needed"),
        ([(number, *row[1:]) for number, row in enumerate(toy())], "0 of 1,920 users have a second event"),
        ([(row[0], 1, *row[2:]) for row in toy()], "1 sources: there is nothing to choose from"),
        ([row for row in toy() if row[3] == "seen"], "no event has a positive weight (there are: impression)"),
        ([(*row[:3], "winked", row[4]) for row in toy()], "no row of the log becomes an event"),
    ],
)
def test_what_would_stop_an_experiment_is_said_with_its_remedy_and_exit_code_1(
    ok: Ok, root: Path, rows: list[tuple[object, object, object, object, datetime]], told: str
) -> None:
    write_toy(root, rows)
    shown = ok("data", "check", "toy", "--json")
    assert shown.code == 1
    stops = [finding for finding in shown.json["findings"] if finding["level"] == "stop"]
    assert told in [finding["text"] for finding in stops]
    assert all(finding["remedy"] for finding in stops)
    assert shown.json["verdict"].startswith("no experiment would work on toy")


def test_a_log_in_which_everybody_has_met_everything_is_stopped_with_the_way_on(ok: Ok, root: Path) -> None:
    """What was met needs no recommendation, so there is none left; without that rule there are as many as ever."""
    seen = [
        (user, source, n, "liked", START + timedelta(days=n % DAYS, minutes=n))
        for n, (user, source) in enumerate((user, source) for source in range(30) for user in range(40))
    ]
    write_toy(root, seen)
    assert ok("data", "check", "toy", "--json").json["works"] is True
    file = "configs/datasets/toy.yml"
    edit(root, file, "has_impressions: true", "has_impressions: false\nsubscription: {event_types: [like]}")
    shown = ok("data", "check", "toy", "--json")
    assert shown.code == 1
    (stop,) = [finding for finding in shown.json["findings"] if finding["level"] == "stop"]
    assert stop["text"].startswith("0.00 of 30 sources are left to a user on average, all others are met (like)")
    assert stop["remedy"].startswith("take `subscription` out of configs/datasets/toy.yml")
    assert shown.json["left"] == 0
    write_toy(root, [row for row in seen if (row[0] + row[1]) % 10])
    found = ok("data", "check", "toy", "--json").json
    assert (found["works"], found["left"]) == (True, 3.0)


def test_an_experiment_that_asks_for_more_days_than_there_are_is_told(ok: Ok, root: Path) -> None:
    write_toy(root, toy())
    edit(root, "configs/experiments/toy_sources.yml", "  predictions:", "  evaluation: {days: 6}\n  predictions:")
    shown = ok("data", "check", "toy")
    assert shown.code == 1
    assert "experiment toy_sources asks for more days than there are" in shown.out
    assert "verdict    no experiment would work on toy" in shown.out


def test_a_user_of_a_log_with_text_ids_is_asked_for_by_the_text(
    ok: Ok, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(published.USERS, text_id("ольга@ok"), [103])
    published.publish(root, 1_700_000_000_000)
    assert ok("get", "toy_sources", "ольга@ok", "--json").json["known"] is False
    edit(root, "configs/datasets/toy.yml", "event_type: e}", "event_type: e}\n  hash_ids: [user_id]")
    found = ok("get", "toy_sources", "ольга@ok", "--json").json
    assert (found["known"], [source["source_id"] for source in found["sources"]]) == (True, ["103"])
    assert ok("get", "toy_sources", "1", "--json").json["known"] is False  # the text 1, not the number


def test_a_negative_id_is_no_option(ok: Ok, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(published.USERS, -(2**63), [103])
    monkeypatch.setitem(published.USERS, -7, [102, 103])
    published.publish(root, 1_700_000_000_000)
    for user in (-(2**63), -7):
        found = ok("get", "toy_sources", str(user), "-n", "1", "--json").json
        assert (found["known"], found["entity_id"], len(found["sources"])) == (True, str(user), 1)


def test_a_robot_nobody_duplicates_and_a_cut_day_are_warnings(ok: Ok, root: Path) -> None:
    rows = toy()
    robot = [
        (99, 10 + number % 40, number, "liked", START + timedelta(days=2, seconds=number)) for number in range(1100)
    ]
    nobody = [(0, 10, number, "liked", START + timedelta(days=3)) for number in range(20)]
    write_toy(
        root, [*rows, *robot, *nobody, *rows[500:540], *[(*row[:4], START + timedelta(days=DAYS)) for row in rows[:9]]]
    )
    shown = ok("data", "check", "toy", "--json")
    told = " / ".join(finding["text"] for finding in shown.json["findings"])
    assert shown.code == 0
    for text in (
        "user 99 has 36% of all events",
        "20 events have user_id 0, which looks like an unknown user",
        "40 events are equal to another one in everything",
        "the last day, 2024-03-09, has 9 events",
    ):
        assert text in told
    assert shown.json["largest_user"]["user_id"] == "99"


def test_check_commits_nothing_and_names_what_is_missing(ok: Ok, root: Path) -> None:
    missing = ok("data", "check", "toy")
    assert missing.code == 1
    assert "no file matches" in missing.err
    assert ok("data", "check", "tou").code == 2
    write_toy(root, toy())
    assert ok("data", "check", "toy").code == 0
    assert not (root / ".ok_ml/lake/toy").exists()
    edit(root, "configs/datasets/toy.yml", "user_id: u", "user_id: w")
    wrong = ok("data", "check", "toy")
    assert wrong.code == 2
    assert "has no column 'w'" in wrong.err


# -- the commands ------------------------------------------------------------------------------------------------------


def test_help_lists_both_and_each_has_examples(ok: Ok) -> None:
    shown = ok("data", "--help").out
    assert {"preview", "check"} <= {line.split()[0] for line in shown.splitlines() if line.split()}
    for name in ("preview", "check"):
        text = ok("data", name, "--help").out
        assert text.count("ok-ml data " + name) >= 2
        assert "--json" in text


def test_neither_imports_dagster_or_spark_or_a_model_library(root: Path) -> None:
    write_toy(root, toy())
    for arguments in (["data", "preview", "toy/events.parquet"], ["data", "check", "toy"]):
        code = f"import sys; from ok_ml.cli.main import run; code = run({arguments}); print(code, *sys.modules, file=sys.stderr)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        exit_code, *modules = done.stderr.splitlines()[-1].split()
        assert exit_code == "0", done.stderr
        assert not (HEAVY - {"pandas"}) & set(modules)  # pyarrow itself loads pandas when it meets a Python scalar
