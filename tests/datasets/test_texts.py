"""Texts: the mapping of logs for messages, each text once, and everything that does not fit set aside with its reason."""

import gzip
from pathlib import Path

import pytest

from ok_ml import columns as c
from ok_ml.config.models import TextsConfig
from ok_ml.datasets.texts import REJECTED, id_of_text, ingest_texts, one_spelling, stale_texts
from ok_ml.errors import EmptyPartition
from ok_ml.lake import Lake
from ok_ml.world.log.posts import POSTS, TRUTH, ensure_posts

MESSAGES = "spam\tWIN a prize\nham\tsee you\n\tno label here\nspam\t\nham\tSee  YOU\n"


def config(**texts: object) -> TextsConfig:
    return TextsConfig(
        dataset="notes",
        description="",
        owners=("o@example.org",),
        parts=2,
        texts=(
            {
                "path": "notes.tsv",
                "format": "tsv",
                "quoting": False,
                "header": ("label", "message"),
                "columns": {"text": "message", "label": "label"},
                **texts,
            },
        ),
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_texts_without_a_time_are_one_day(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "notes.tsv").write_text(MESSAGES)
    notes = config(date="2020-02-03")
    assert stale_texts(notes, lake, root=tmp_path) == (["2020-02-03"], ["2020-02-03"])
    (manifest,) = ingest_texts(notes, lake, ["2020-02-03"], root=tmp_path)
    rows = lake.read("notes", c.TEXTS, ["2020-02-03"]).sort_by(c.TEXT).to_pylist()
    assert [(row[c.TEXT], row[c.LABEL]) for row in rows] == [
        ("WIN a prize", "spam"),
        ("no label here", None),
        ("see you", "ham"),
    ]
    assert [row[c.TEXT_ID] for row in rows] == [id_of_text(row[c.TEXT]) for row in rows]
    assert manifest.details["rejected"] == {"null_text": 1, "repeated": 1}
    assert manifest.details["labels"] == {"ham": 1, "spam": 1}
    assert manifest.details["unlabelled"] == 1
    aside = lake.read("notes", REJECTED, ["2020-02-03"])
    assert sorted(aside["reason"].to_pylist()) == ["null_text", "repeated"]
    assert stale_texts(notes, lake, root=tmp_path) == (["2020-02-03"], [])


def test_a_changed_file_is_read_again(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "notes.tsv").write_text(MESSAGES)
    ingest_texts(config(), lake, ["2000-01-01"], root=tmp_path)
    (tmp_path / "notes.tsv").write_text(MESSAGES + "ham\tone more\n")
    assert stale_texts(config(), lake, root=tmp_path)[1] == ["2000-01-01"]
    (manifest,) = ingest_texts(config(), lake, ["2000-01-01"], root=tmp_path)
    assert manifest.rows == 4


def test_each_text_has_the_day_on_which_it_was_written(lake: Lake, tmp_path: Path) -> None:
    lines = [
        "1\tone\t2020-01-01T10:00:00",
        "2\ttwo\t2020-01-02T10:00:00",
        "3\tthree\tnever",
        "1\tagain\t2020-01-02T11:00:00",
    ]
    (tmp_path / "notes.tsv").write_text("\n".join(lines) + "\n")
    notes = config(
        header=("number", "message", "at"),
        columns={"text": "message", "text_id": "number"},
        time={"columns": ("at",)},
    )
    wanted, _ = stale_texts(notes, lake, root=tmp_path)
    assert wanted[-2:] == ["2020-01-01", "2020-01-02"]
    ingest_texts(notes, lake, ["2020-01-01", "2020-01-02"], root=tmp_path)
    assert lake.read("notes", c.TEXTS, ["2020-01-01"])[c.TEXT_ID].to_pylist() == [1]
    assert sorted(lake.read("notes", c.TEXTS, ["2020-01-02"])[c.TEXT].to_pylist()) == ["again", "two"]


def test_several_files_with_a_label_each(lake: Lake, tmp_path: Path) -> None:
    for name, text in (
        ("bait", "You will not believe\n\nTen reasons\n"),
        ("news", "Parliament votes\n\nten  reasons\n"),
    ):
        with gzip.open(tmp_path / f"{name}.gz", "wt") as file:
            file.write(text)
    one = {"format": "tsv", "quoting": False, "header": ("headline",), "columns": {"text": "headline"}}
    made = TextsConfig(
        dataset="notes",
        description="",
        owners=("o@example.org",),
        parts=2,
        texts=tuple({**one, "path": f"{name}.gz", "constants": {"label": name}} for name in ("bait", "news")),
    )
    (manifest,) = ingest_texts(made, lake, ["2000-01-01"], root=tmp_path)
    assert manifest.details["labels"] == {"bait": 2, "news": 1}
    assert manifest.details["rejected"] == {"repeated": 1}, "the same text in two files is one text"


def test_nothing_usable_is_no_empty_day(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "notes.tsv").write_text("spam\t\n")
    with pytest.raises(EmptyPartition, match=r"notes/texts: no usable text in 2000-01-01 \(set aside: null_text 1\)"):
        ingest_texts(config(), lake, ["2000-01-01"], root=tmp_path)


def test_case_and_blanks_are_no_other_text() -> None:
    assert one_spelling("  See\tYOU ") == one_spelling("see you")
    assert id_of_text("See  you") == id_of_text("SEE YOU")
    assert id_of_text("see you") != id_of_text("see you!")


def test_a_mapping_names_canonical_columns() -> None:
    with pytest.raises(ValueError, match="'message' is not a canonical column: one of text, text_id, label"):
        config(columns={"message": "message"})
    with pytest.raises(ValueError, match="columns must name 'text'"):
        config(columns={"label": "label"})


def test_simulated_posts_have_planted_topics(lake: Lake) -> None:
    world = {"start": "2026-01-05", "days": 8, "users": 300, "sources": 400, "topics": 6, "users_per_block": 300}
    posts = TextsConfig(
        dataset="posts",
        description="",
        owners=("o@example.org",),
        world=world,
        texts=({"path": "world:posts", "columns": {"text_id": "postId", "text": "text"}},),
    )
    days = ["2026-01-05", "2026-01-06"]
    first = ensure_posts(posts, lake, days)
    rows, truth = (lake.read("posts", table, days) for table in (POSTS, TRUTH))
    topics = dict(zip(truth["postId"].to_pylist(), truth["topic"].to_pylist(), strict=True))
    said = [(row["moderatedTopic"], topics[row["postId"]]) for row in rows.to_pylist()]
    labelled = [pair for pair in said if pair[0] is not None]
    assert 0.25 < len(labelled) / len(said) < 0.45
    assert 0.9 < sum(label == true for label, true in labelled) / len(labelled) < 1.0, "moderators err, rarely"
    russian = sum(any("а" <= letter <= "я" for letter in text.lower()) for text in rows["text"].to_pylist())
    assert 0.5 < russian / rows.num_rows < 0.9
    assert len(set(rows["postId"].to_pylist())) == rows.num_rows
    again = ensure_posts(posts, Lake(f"{lake.root}-twin"), days)
    assert [one.data_version for one in again] == [one.data_version for one in first]
