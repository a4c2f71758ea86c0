"""Every way to get the configuration wrong is answered with file, line, column, key and what was meant."""

from pathlib import Path

import pytest

from ok_ml.config.loader import find_problems, load_project
from ok_ml.config.sections.recommender_models import ModelStage
from ok_ml.errors import ConfigError, UsageError
from tests.small_project import ROOT, edit, write

EXPERIMENT = "configs/experiments/toy_sources.yml"
DATASET = "configs/datasets/toy.yml"
LOCAL = "configs/environments/local.yml"
BASE = "configs/base.yml"
MODEL_KEYS = ", ".join(sorted(ModelStage.model_fields))


def problems(root: Path, **how: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        load_project(root, **how)
    return raised.value.problems


# file, passage, replacement, the one line that is expected
FAULTS = {
    "unknown key": (
        EXPERIMENT, "    num_trees: 150\n", "    num_tree: 150\n",
        f"{EXPERIMENT}:9:5: stages.model.num_tree: expected one of {MODEL_KEYS}, got 'num_tree'; did you mean 'num_trees'?",
    ),
    "unknown section": (
        EXPERIMENT, "release: {cycle: manual}", "relese: {cycle: manual}",
        f"{EXPERIMENT}:14:1: relese: expected one of checks, datasets, delivery, description, experiment, freshness, gate, owners, "
        "pipeline_type, release, retraining, seed, stages, got 'relese'; did you mean 'release'?",
    ),
    "text for a number": (
        EXPERIMENT, "learning_rate: 0.07", "learning_rate: fast",
        f"{EXPERIMENT}:10:20: stages.model.learning_rate: expected a number > 0, got 'fast' (text)",
    ),
    "quoted number": (
        EXPERIMENT, "num_trees: 150", 'num_trees: "150"',
        f"{EXPERIMENT}:9:16: stages.model.num_trees: expected a whole number >= 1, got '150' (text)",
    ),
    "boolean for a number": (
        EXPERIMENT, "num_trees: 150", "num_trees: true",
        f"{EXPERIMENT}:9:16: stages.model.num_trees: expected a whole number >= 1, got true (true or false)",
    ),
    "number for text": (
        DATASET, "description: A toy log.", "description: 7",
        f"{DATASET}:2:14: description: expected text, got 7",
    ),
    "out of range": (
        EXPERIMENT, "num_trees: 150", "num_trees: 0",
        f"{EXPERIMENT}:9:16: stages.model.num_trees: expected a whole number >= 1, got 0",
    ),
    "two bounds": (
        BASE, "service: {port: 21315}", "service: {port: 80}",
        f"{BASE}:8:17: service.port: expected a whole number >= 1024 and <= 65535, got 80",
    ),
    "wrong word": (
        EXPERIMENT, "cycle: manual", "cycle: manuel",
        f"{EXPERIMENT}:14:18: release.cycle: expected one of automatic, manual, got 'manuel' (text); did you mean 'manual'?",
    ),
    "section for a value": (
        EXPERIMENT, "num_trees: 150", "num_trees: {a: 1}",
        f"{EXPERIMENT}:9:16: stages.model.num_trees: expected a whole number >= 1, got a section (a)",
    ),
    "value for a section": (
        EXPERIMENT, "delivery:\n  partitions: 4\n", "delivery: 4\n",
        f"{EXPERIMENT}:12:11: delivery: expected a section of keys and values, got 4",
    ),
    "value for a list": (
        EXPERIMENT, "owners: [discovery@example.org]", "owners: discovery@example.org",
        f"{EXPERIMENT}:3:9: owners: expected a list, each text with at least 1, got 'discovery@example.org' (text)",
    ),
    "empty list": (
        EXPERIMENT, "owners: [discovery@example.org]", "owners: []",
        f"{EXPERIMENT}:3:9: owners: expected a list, each text with at least 1, got a list of 0",
    ),
    "wrong item": (
        EXPERIMENT, "owners: [discovery@example.org]", "owners: [discovery@example.org, 7]",
        f"{EXPERIMENT}:3:33: owners[1]: expected text, got 7",
    ),
    "missing key": (
        EXPERIMENT, ", popularity_days: 14}", "}",
        f"{EXPERIMENT}:7:3: stages.features.popularity_days: expected a whole number >= 1, got nothing",
    ),
    "missing at the top": (
        DATASET, "has_impressions: true\n", "",
        f"{DATASET}:1:1: has_impressions: expected true or false, got nothing",
    ),
    "null for a value": (
        EXPERIMENT, "num_trees: 150", "num_trees:",
        f"{EXPERIMENT}:9:5: stages.model.num_trees: expected a whole number >= 1, got nothing",
    ),
    "duplicate key": (
        EXPERIMENT, "    num_trees: 150\n", "    num_trees: 150\n    num_trees: 151\n",
        f"{EXPERIMENT}:10:5: stages.model.num_trees: expected each key once, got it again (first in line 9)",
    ),
    "syntax": (
        EXPERIMENT, "owners: [discovery@example.org]", "owners: [discovery@example.org",
        f"{EXPERIMENT}:4:9: expected valid YAML, got: while parsing a flow sequence",
    ),
    "tab": (
        EXPERIMENT, "    num_trees: 150\n", "\tnum_trees: 150\n",
        f"{EXPERIMENT}:9:1: expected valid YAML, got: while scanning for the next token",
    ),
    "tag": (
        EXPERIMENT, "num_trees: 150", "num_trees: !secret 150",
        f"{EXPERIMENT}:9:16: stages.model.num_trees: expected a plain value, got one with the tag !secret",
    ),
    "file name": (
        EXPERIMENT, "experiment: toy_sources", "experiment: toy_source",
        f"{EXPERIMENT}:1:13: experiment: expected 'toy_sources' as the file is named, got 'toy_source'",
    ),
    "dataset's file name": (
        DATASET, "dataset: toy\n", "dataset: toys\n",
        f"{DATASET}:1:10: dataset: expected 'toy' as the file is named, got 'toys'",
    ),
    "environment's file name": (
        LOCAL, "environment: local", "environment: lokal",
        f"{LOCAL}:1:14: environment: expected 'local' as the file is named, got 'lokal'",
    ),
    "unknown dataset": (
        EXPERIMENT, "{name: toy,", "{name: tov,",
        f"{EXPERIMENT}:5:18: datasets.events.name: expected one of toy, got 'tov'; did you mean 'toy'?",
    ),
    "partitions and parts": (
        EXPERIMENT, "partitions: 4", "partitions: 8",
        f"{EXPERIMENT}:13:15: delivery.partitions: expected 4, the parts of dataset toy, got 8",
    ),
    "more served than found": (
        EXPERIMENT, "candidates: 200", "candidates: 40",
        f"{EXPERIMENT}:11:40: stages.predictions.top_n: expected at most the 40 candidates, got 50",
    ),
    "gate at another k": (
        EXPERIMENT, "release: {cycle: manual}", "release: {cycle: manual}\ngate: {metric: ndcg@20}",
        f"{EXPERIMENT}:15:16: gate.metric: expected a metric at one of stages.evaluation.k (10, 50), got 'ndcg@20'",
    ),
    "drift limits": (
        EXPERIMENT, "release: {cycle: manual}", "release: {cycle: manual}\nchecks: {drift: {psi_warn: 0.5}}",
        f"{EXPERIMENT}:15:28: checks.drift.psi_warn: expected at most psi_block (0.25), got 0.5",
    ),
    "unknown weight": (
        DATASET, "weights: {like: 1.0, comment: 2.5}", "weights: {like: 1.0, coment: 2.5}",
        f"{DATASET}:11:22: weights: expected one of click, comment, friend_request",
    ),
    "unknown event type": (
        DATASET, "liked: like", "liked: lke",
        f"{DATASET}:9:42: events: event type 'lke' is not canonical: one of impression, like",
    ),
    "grade": (
        DATASET, "comment: 3}", "comment: 5}",
        f"{DATASET}:12:28: grades.comment: expected a whole number from 0 to 4, got 5",
    ),
    "column that nobody knows": (
        DATASET, "item_id: i", "itm_id: i",
        f"{DATASET}:7:39: events: 'itm_id' is not a canonical column: one of user_id",
    ),
    "condition": (
        DATASET, "  columns: {user_id: u,", "  drop_if: {odd: a ~ b}\n  columns: {user_id: u,",
        f"{DATASET}:7:18: events.drop_if: odd: 'a ~ b' is not a condition",
    ),
    "world without a world": (
        DATASET, "path: toy/events.parquet", "path: world:events",
        f"{DATASET}:1:1: a path world:TABLE reads the simulated log, so the dataset needs a `world` section",
    ),
    "unknown placeholder": (
        BASE, '"${state}/lake"', '"${sate}/lake"',
        f"{BASE}:2:13: lake.uri: expected no placeholder but ${{state}}, got '${{sate}}'",
    ),
    "lake by address": (
        BASE, '"${state}/lake"', "s3a://bucket/lake",
        f"{BASE}:2:13: lake.uri: expected a folder: object stores and HDFS are read through a mount, not by an address",
    ),
    "wrong size overlay": (
        EXPERIMENT, "      model: {num_trees: 60}\n", "      model: {num_tree: 60}\n",
        f"{EXPERIMENT}:18:15: stages.model.num_tree: expected one of {MODEL_KEYS}",
    ),
    "size is no section": (
        DATASET, "  tiny:\n    freshness_hours: 48\n", "  tiny: 48\n",
        f"{DATASET}:14:9: sizes.tiny: expected a section that overlays this file, got a single value",
    ),
    "secret in a file": (
        BASE, "controller_port: 21312}", "controller_port: 21312, client: {sasl.password: hunter2}}",
        f"{BASE}:4:109: kafka.client.sasl.password: expected no secret in a file, got one",
    ),
    "credentials in an address": (
        LOCAL, "environment: local\n", "environment: local\nstorage: {url: 'redis://me:hunter2@host'}\n",
        f"{LOCAL}:2:16: storage.url: expected an address without credentials, got one with",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_place_and_nothing_else_is(root: Path, fault: str) -> None:
    file, old, new, expected = FAULTS[fault]
    edit(root, file, old, new)
    found = problems(root)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]
    assert "hunter2" not in found[0]


def test_a_close_word_is_offered_even_where_the_list_is_long(root: Path) -> None:
    edit(root, DATASET, "weights: {like: 1.0, comment: 2.5}", "weights: {like: 1.0, coment: 2.5}")
    assert problems(root)[0].endswith("got 'coment'; did you mean 'comment'?")
    edit(root, DATASET, "item_id: i", "itm_id: i")
    assert problems(root)[0].endswith("; did you mean 'item_id'?")


def test_all_problems_of_all_files_come_at_once_in_order(root: Path) -> None:
    edit(root, EXPERIMENT, "num_trees: 150", "num_trees: 0")
    edit(root, EXPERIMENT, "cycle: manual", "cycle: sometimes")
    edit(root, DATASET, "parts: 4", "parts: four")
    edit(root, LOCAL, "workers: 2", "workers: 0")
    assert [line.split(": ", 2)[1] for line in problems(root)] == [
        "parts",
        "service.workers",
        "stages.model.num_trees",
        "release.cycle",
    ]


def test_the_error_says_why_and_what_to_do(root: Path) -> None:
    edit(root, EXPERIMENT, "num_trees: 150", "num_trees: 0")
    with pytest.raises(
        ConfigError, match=r"(?s)1 problem in the configuration:.*why it matters: .*what to do: .*ok-ml validate"
    ):
        load_project(root)


def test_an_unknown_size_names_the_known_ones_and_who_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(root, size="tny") == (
        "--size: expected one of default, tiny as size, got 'tny'; did you mean 'tiny'?",
    )
    monkeypatch.setenv("OK_ML_SIZE", "huge")
    assert problems(root) == ("OK_ML_SIZE: expected one of default, tiny as size, got 'huge'",)
    monkeypatch.delenv("OK_ML_SIZE")
    write(root, ".ok_ml/size", "tinyy\n")
    assert problems(root)[0].startswith(".ok_ml/size:1:1: expected one of default, tiny as size, got 'tinyy'")


def test_an_unknown_environment_names_the_known_ones(root: Path) -> None:
    found = problems(root, environment="lcal")
    assert found == (
        "configs/environments: expected one of local as environment (OK_ML_ENV), got 'lcal'; did you mean 'local'?",
    )


def test_a_wrong_override_is_a_problem_of_the_override(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"override: seed: expected a whole number, got 'x' \(text\)"):
        load_project(root, overrides={"experiments.toy_sources.seed": "x"})
    with pytest.raises(
        ConfigError,
        match=r"override: expected a key that starts with .*experiments.toy_sources, got 'experiment.x.seed'",
    ):
        load_project(root, overrides={"experiment.x.seed": 1})


def test_a_file_that_is_no_mapping_or_no_text_is_one_problem(root: Path) -> None:
    write(root, EXPERIMENT, "- a\n- b\n")
    assert problems(root) == (f"{EXPERIMENT}:1:1: expected keys and values, got a list",)
    write(root, EXPERIMENT, "")
    assert problems(root) == (f"{EXPERIMENT}:1:1: expected keys and values, got an empty file",)
    (root / EXPERIMENT).write_bytes(b"experiment: \xff\xfe")
    assert problems(root)[0].startswith(f"{EXPERIMENT}:1:1: expected YAML in UTF-8")


def test_a_section_that_contains_itself_ends(root: Path) -> None:
    edit(root, EXPERIMENT, "stages:\n  features", "stages: &again\n  x: *again\n  features")
    assert any("goes deeper or contains itself" in line for line in problems(root))


def test_no_project_here_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"(?s)no configs/base.yml in .*go into the project's folder.*--project DIR"):
        load_project()
    with pytest.raises(UsageError, match=r"elsewhere has no configs/base\.yml"):
        load_project(tmp_path / "elsewhere")


def test_validate_looks_at_every_environment_and_size(root: Path) -> None:
    assert find_problems(root) == []
    write(root, "configs/environments/other.yml", "environment: other\nkafka: {mode: remote}\n")
    edit(root, EXPERIMENT, "num_trees: 60", "num_trees: -1")
    found = find_problems(root)
    assert len(found) == 2
    assert found[0].startswith(
        "configs/environments/other.yml:2:15: kafka.mode: expected one of embedded, external, got 'remote'"
    ), found
    assert found[1].startswith(f"{EXPERIMENT}:18:26: stages.model.num_trees: expected a whole number >= 1, got -1")


def test_the_project_s_own_configuration_is_valid() -> None:
    assert find_problems(ROOT) == []
