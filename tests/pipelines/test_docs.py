"""Every file, every YAML and every command of docs/extend.md, on a small network that has been run once."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ok_ml import columns as c
from ok_ml.config.documents import Tree, laid_over, read_document
from tests.pipelines.conftest import World
from tests.pipelines.world_project import DATASET, EXPERIMENT, Done
from tests.small_project import ROOT, edit

TEXT = (ROOT / "docs/extend.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^`(ideas/\S+)`\n\n```(python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {name: body for name, _, body in _FILE.findall(TEXT)}
COMMANDS = [shlex.split(line)[1:] for block in _SHELL.findall(TEXT) for line in block.splitlines()]
TRIES = [words for words in COMMANDS if words[0] == "try"]
EARLIER = -2  # the small network's day for the one that --upto names


@dataclass(frozen=True)
class Written:
    """A project with the ideas of the text in it, and the last of its tries, which has them all."""

    world: World
    single: Done
    all: Done


@pytest.fixture(scope="module")
def written(world: World) -> Iterator[Written]:
    assert world.first.code == 0, world.first.err
    for name, body in FILES.items():
        (world.root / name).parent.mkdir(exist_ok=True)
        (world.root / name).write_text(body, encoding="utf-8")
    day = world.lake.partitions(DATASET, c.EVENTS)[EARLIER]
    single, several = ([day if word == "2026-01-29" else word for word in words] for words in TRIES)
    yield Written(world, world.ok(*single, "--json"), world.ok(*several, "--json"))
    for name in FILES:
        (world.root / name).unlink()


def test_every_block_of_the_text_is_tried() -> None:
    assert len(FILES) == 8
    assert TEXT.count("```python\n") + TEXT.count("```yaml\n") == len(FILES)
    assert [words[0] for words in COMMANDS] == ["try", "try", "validate", "features", "run"]
    assert {word for word in TRIES[1] if word.endswith(".yml")} == {name for name in FILES if name.endswith(".yml")}


def test_the_feature_is_tried_against_the_champion_and_the_rest_is_reused(written: Written) -> None:
    assert written.single.code == 0, written.single.err
    found = written.single.json
    assert found["baseline"] == "champion"
    [attempt] = found["attempts"]
    assert {row["verdict"] for row in attempt["metrics"]} <= {"better", "worse", "no difference", ""}
    made = {entry.split(" ")[0] for entry in attempt["recomputed"]}
    assert made == {c.USER_FEATURES, c.TRAINING_SET, c.MODEL, c.EVALUATION}


def test_all_four_ideas_are_judged_on_the_earlier_days(written: Written) -> None:
    assert written.all.code == 0, written.all.err
    found = written.all.json
    assert found["baseline"] == "unchanged", "the champion was trained on these days"
    assert found["days"].endswith(written.world.lake.partitions(DATASET, c.EVENTS)[EARLIER])
    assert len({attempt["scope"] for attempt in found["attempts"]}) == 4
    assert found["best"] in FILES
    made = {
        attempt["change"]: {entry.split(" ")[0] for entry in attempt["recomputed"]} for attempt in found["attempts"]
    }
    learnt = {c.TRAINING_SET, c.MODEL, c.EVALUATION}
    assert made == {
        "ideas/night_owl.yml": {c.USER_FEATURES, *learnt},
        "ideas/recent_days.yml": learnt,
        "ideas/svd.yml": {c.EMBEDDINGS, *learnt},
        "ideas/ridge.yml": {c.MODEL, c.EVALUATION},
    }
    scores = [
        row["estimate"] for attempt in found["attempts"] for row in attempt["metrics"] if row["metric"] == "ndcg@10"
    ]
    assert min(scores) > 0.1


def test_the_winner_s_lines_are_a_valid_experiment(written: Written) -> None:
    world, name = written.world, f"configs/experiments/{EXPERIMENT}.yml"
    kept = (world.root / name).read_text(encoding="utf-8")
    try:
        edit(
            world.root, name, "popularity_days: 14}", 'popularity_days: 14, extra: ["ideas/night_owl.py:NIGHT_SHARE"]}'
        )
        assert world.ok("validate").code == 0
        listed = world.ok("features", EXPERIMENT, "--json").json
        assert "user_night_share" in {row["feature"] for row in listed}
    finally:
        (world.root / name).write_text(kept, encoding="utf-8")


def test_every_change_is_a_part_of_an_experiment(written: Written) -> None:
    base, _ = read_document(written.world.root / f"configs/experiments/{EXPERIMENT}.yml", "base")
    for name in (name for name in FILES if name.endswith(".yml")):
        top, problems = read_document(written.world.root / name, name)
        assert problems == []
        merged: Tree = laid_over(base, top)
        assert merged.data["experiment"] == EXPERIMENT
