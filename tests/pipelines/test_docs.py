"""Every file, every YAML and every command of docs/extend.md, on a small network that has been run once."""

import re
import shlex

import pytest

from ok_ml import columns as c
from ok_ml.config.documents import Tree, laid_over, read_document
from ok_ml.recommender.ranking.ranker import CODE_FILE
from ok_ml.release.gate.promotion_record import RECORD_FILE, PromotionRecord
from tests.pipelines.conftest import World
from tests.pipelines.world_project import DATASET, EXPERIMENT, Done
from tests.small_project import ROOT, edit

TEXT = (ROOT / "docs/extend.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^`(ideas/\S+)`\n\n```(python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {name: body for name, _, body in _FILE.findall(TEXT)}
COMMANDS = [shlex.split(line)[1:] for block in _SHELL.findall(TEXT) for line in block.splitlines()]
TRIES = [words for words in COMMANDS if words[0] == "try"]


@pytest.fixture(scope="module")
def written(copied_world: World) -> World:
    """A project with the ideas of the text in it."""
    for name, body in FILES.items():
        (copied_world.root / name).parent.mkdir(exist_ok=True)
        (copied_world.root / name).write_text(body, encoding="utf-8")
    return copied_world


def earlier(world: World) -> str:
    """The small network's day for the one that the text judges on."""
    return world.lake.partitions(DATASET, c.EVENTS)[-2]


@pytest.fixture(scope="module")
def single(written: World) -> Done:
    return written.ok(*TRIES[0], "--json")


@pytest.fixture(scope="module")
def several(written: World) -> Done:
    return written.ok(*(earlier(written) if word == "2026-01-29" else word for word in TRIES[1]), "--json")


def test_the_files_are_written(written: World) -> None:
    assert {path.name for path in (written.root / "ideas").iterdir()} == {name.split("/")[1] for name in FILES}


def test_every_block_of_the_text_is_tried() -> None:
    assert len(FILES) == 9
    assert TEXT.count("```python\n") + TEXT.count("```yaml\n") == len(FILES)
    assert [words[0] for words in COMMANDS] == ["try", "try", "validate", "features", "run"]
    assert {word for word in TRIES[1] if word.endswith(".yml")} == {name for name in FILES if name.endswith(".yml")}


def test_the_feature_is_tried_against_the_champion_and_the_rest_is_reused(single: Done) -> None:
    assert single.code == 0, single.err
    found = single.json
    assert found["baseline"] == "champion"
    [attempt] = found["attempts"]
    assert {row["verdict"] for row in attempt["metrics"]} <= {"better", "worse", "no difference", ""}
    made = {entry.split(" ")[0] for entry in attempt["recomputed"]}
    assert made == {c.USER_FEATURES, c.TRAINING_SET, c.MODEL, c.EVALUATION}


def test_all_four_ideas_are_judged_on_the_earlier_days(several: Done, written: World) -> None:
    assert several.code == 0, several.err
    found = several.json
    assert found["baseline"] == "unchanged", "the champion was trained on these days"
    assert found["days"].endswith(earlier(written))
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


def test_a_stage_is_one_file(written: World) -> None:
    """Nothing else is made again: the type of the YAML is not part of any record."""
    name = f"configs/experiments/{EXPERIMENT}.yml"
    before = (written.root / name).read_text()
    assert written.ok("run", EXPERIMENT).code == 0, "the copy of the world has a storage of its own to publish to"
    edit(written.root, name, "pipeline_type: source_recommendation", "pipeline_type: ideas/reach.py:TYPE")
    done = written.ok("run", EXPERIMENT, "--json")
    (written.root / name).write_text(before)
    assert done.code == 0, done.err
    assert [stage["stage"] for stage in done.json["stages"]] == [f"{EXPERIMENT}/reach"], done.err
    days = written.lake.partitions(EXPERIMENT, "reach")
    assert days == written.lake.partitions(EXPERIMENT, c.USER_FEATURES)
    (share,) = written.lake.read(EXPERIMENT, "reach", days[-1:])["value"].to_pylist()
    assert 0 < share <= 1
    assert "reach_bands" in done.err, "its own past judges it"


def test_the_winner_s_lines_are_a_valid_experiment(written: World) -> None:
    world, name = written, f"configs/experiments/{EXPERIMENT}.yml"
    edit(world.root, name, "popularity_days: 14}", 'popularity_days: 14, extra: ["ideas/night_owl.py:NIGHT_SHARE"]}')
    assert world.ok("validate").code == 0
    listed = world.ok("features", EXPERIMENT, "--json").json
    assert "user_night_share" in {row["feature"] for row in listed}


@pytest.mark.full
def test_the_winner_goes_to_production(written: World) -> None:
    """The feature of the test above is in the YAML, or comes in here; and the ridge regression."""
    name = f"configs/experiments/{EXPERIMENT}.yml"
    if "night_owl" not in (written.root / name).read_text():
        edit(
            written.root,
            name,
            "popularity_days: 14}",
            'popularity_days: 14, extra: ["ideas/night_owl.py:NIGHT_SHARE"]}',
        )
    edit(
        written.root,
        name,
        "model: {objective",
        'model: {ranker: "ideas/ridge.py:Ridge", options: {penalty: 10}, objective',
    )
    edit(written.root, name, "not_worse_than_champion: true", "not_worse_than_champion: false")
    done = written.ok("run", EXPERIMENT, "--json")
    assert done.code == 0, done.err
    champion = written.lake.manifest(EXPERIMENT, c.CHAMPION)
    folder = written.lake.folder(champion)
    assert champion.details["promoted"]
    assert (folder / "ranker" / CODE_FILE).read_text() == FILES["ideas/ridge.py"]
    record = PromotionRecord.from_json((folder / RECORD_FILE).read_bytes())
    assert set(record.lineage.extensions) == {"ideas/night_owl.py:NIGHT_SHARE", "ideas/ridge.py:Ridge"}
    assert written.ok("run", EXPERIMENT, "--json").json["stages"] == []


def test_every_change_is_a_part_of_an_experiment(written: World) -> None:
    base, _ = read_document(written.root / f"configs/experiments/{EXPERIMENT}.yml", "base")
    for name in (name for name in FILES if name.endswith(".yml")):
        top, problems = read_document(written.root / name, name)
        assert problems == []
        merged: Tree = laid_over(base, top)
        assert merged.data["experiment"] == EXPERIMENT
