"""What each command does and prints."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from ok_ml.cli.runs import run_pipeline
from ok_ml.cli.runs.run_report import RunSummary, StageRow
from ok_ml.config.loader import load_project
from ok_ml.delivery.storage import open_store
from ok_ml.errors import GateRefused
from tests.cli.published import FALLBACK, SOURCES, USERS, publish
from tests.small_project import edit

Ok = Callable[..., "object"]
FIRST, SECOND, THIRD = 1_700_000_000_000, 1_700_000_100_000, 1_700_000_200_000


# -- get -----------------------------------------------------------------------------------------------------------


def test_get_serves_the_stored_list_best_first(ok: Ok, root: Path) -> None:
    name = publish(root, FIRST)
    found = ok("get", "toy_sources", "1", "--json").json
    assert found == {
        "experiment": "toy_sources",
        "entity_id": "1",
        "generation": name,
        "model_version": "7",
        "scores": "order",
        "fallback": False,
        "known": True,
        "sources": [
            {"source_id": "101", "name": "Cats", "topic": "animals", "score": 2.5, "reason": "taste"},
            {"source_id": "102", "name": "Chess", "topic": "games", "score": 1.5, "reason": "popular"},
            {"source_id": "103", "name": "Bread", "topic": None, "score": 0.5, "reason": "friends"},
        ],
    }


def test_get_takes_at_most_n(ok: Ok, root: Path) -> None:
    publish(root, FIRST)
    assert [source["source_id"] for source in ok("get", "toy_sources", "1", "-n", "2", "--json").json["sources"]] == [
        "101",
        "102",
    ]
    assert len(ok("get", "toy_sources", "1", "-n", "99", "--json").json["sources"]) == len(USERS[1])


def test_get_marks_the_fallback_of_unknown_and_of_new_users(ok: Ok, root: Path) -> None:
    publish(root, FIRST)
    for entity in ("77", "somebody"):
        unknown = ok("get", "toy_sources", entity, "--json").json
        assert (unknown["fallback"], unknown["known"]) == (True, False)
        assert [int(source["source_id"]) for source in unknown["sources"]] == FALLBACK
    new = ok("get", "toy_sources", "3", "--json").json
    assert (new["fallback"], new["known"]) == (True, True)


def test_get_for_people_names_everything(ok: Ok, root: Path) -> None:
    name = publish(root, FIRST)
    shown = ok("get", "toy_sources", "1")
    assert shown.code == 0
    for title, _topic in SOURCES.values():
        assert title in shown.out
    assert shown.out.splitlines()[0].split() == ["SOURCE", "NAME", "TOPIC", "SCORE", "WHY"]
    assert f"generation {name}, model version 7" in shown.out


def test_get_without_a_generation_is_stale_and_names_the_command(ok: Ok) -> None:
    shown = ok("get", "toy_sources", "1")
    assert (shown.code, shown.out) == (5, "")
    assert "toy_sources has no generation" in shown.err
    assert "ok-ml run toy_sources" in shown.err


# -- generations and rollback ----------------------------------------------------------------------------------------


def test_generations_are_listed_newest_first(ok: Ok, root: Path) -> None:
    names = [publish(root, generation, model_version=version) for version, generation in enumerate((FIRST, SECOND), 1)]
    rows = ok("generations", "toy_sources", "--json").json
    assert [(row["generation"], row["state"], row["model_version"]) for row in rows] == [
        (names[1], "current", "2"),
        (names[0], "kept", "1"),
    ]
    assert rows[0]["data_dt"] == "2026-01-31"
    assert rows[0]["predictions"] == 3
    assert names[0] in ok("generations", "toy_sources").out


def test_no_generations_are_an_empty_list_and_a_hint(ok: Ok) -> None:
    assert ok("generations", "toy_sources", "--json").json == []
    shown = ok("generations", "toy_sources")
    assert (shown.code, shown.out) == (0, "")
    assert "ok-ml run toy_sources" in shown.err


def test_rollback_serves_the_one_before_and_withdraws_the_newer(ok: Ok, root: Path) -> None:
    names = [publish(root, generation) for generation in (FIRST, SECOND, THIRD)]
    done = ok("rollback", "toy_sources", "--json").json
    assert done == {"experiment": "toy_sources", "generation": names[1], "previous": names[2], "recorded": False}
    assert ok("get", "toy_sources", "1", "--json").json["generation"] == names[1]
    states = [row["state"] for row in ok("generations", "toy_sources", "--json").json]
    assert states == ["withdrawn", "current", "kept"]


def test_rollback_to_a_named_generation(ok: Ok, root: Path) -> None:
    names = [publish(root, generation) for generation in (FIRST, SECOND, THIRD)]
    shown = ok("rollback", "toy_sources", "--to", names[0])
    assert shown.out == f"toy_sources serves {names[0]} from now on.\n"
    refused = ok("rollback", "toy_sources")
    assert refused.code == 2
    assert "cannot be rolled back" in refused.err


# -- run -----------------------------------------------------------------------------------------------------------


class Runs:
    """Stands in for the pipeline and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bool, bool]] = []
        self.picks: list[tuple[float, bool]] = []
        self.waits: list[bool] = []
        self.error: Exception | None = None

    def __call__(
        self, project: object, experiment: str, *, force: bool, quiet: bool, budget: float, pick: bool, wait: bool
    ) -> RunSummary:
        self.calls.append((project.size, experiment, force, quiet))
        self.picks.append((budget, pick))
        self.waits.append(wait)
        if self.error is not None:
            raise self.error
        metric = {
            "name": "two_stage ndcg@10",
            "value": 0.31,
            "unit": "share",
            "peer": "popularity",
            "peer_value": 0.2,
            "ratio": 1.55,
        }
        score = {"kind": "score", "metric": "ndcg@10", "low": 0.3, "high": 0.32}
        comparison = [
            {**score, "model": "two_stage", "estimate": 0.31},
            {**score, "model": "popularity", "estimate": 0.2},
            {**score, "model": "two_stage", "metric": "brier@10", "estimate": 0.0312},
            {**score, "model": "two_stage", "kind": "attainable", "baseline": "oracle", "estimate": 0.44},
            *(
                {**score, "model": model, "kind": "stratum", "segment": stratum, "estimate": value, "users": users}
                for model, value in (("two_stage", 0.15), ("popularity", 0.1))
                for stratum, users in (("never_shown", 120), ("reacted_before", 40))
            ),
            {
                **score,
                "model": "two_stage",
                "kind": "stratum_difference",
                "segment": "never_shown",
                "baseline": "popularity",
                "estimate": 0.05,
                "low": 0.04,
                "high": 0.06,
            },
            {
                **score,
                "model": "two_stage",
                "kind": "difference",
                "baseline": "popularity",
                "estimate": 0.11,
                "low": 0.1,
                "high": 0.12,
            },
        ]
        return RunSummary(
            experiment,
            project.size,
            7,
            comparison=comparison,
            stages=[StageRow("toy/events", 1234, 2.25, 310.0)],
            metrics=[metric],
            example_user="42",
            generation="g",
            model_version=3,
            seconds=12.5,
            peak_memory_mib=900.0,
            unchanged=["features"],
        )


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    stand_in = Runs()
    monkeypatch.setattr(run_pipeline, "run", stand_in)
    return stand_in


def test_run_passes_its_options_on_and_remembers_the_size(ok: Ok, runs: Runs, root: Path) -> None:
    assert ok("run", "toy_sources", "--size", "tiny", "--force").code == 0
    assert ok("run", "--quiet").code == 0
    assert ok("run", "--budget", "12.5", "--pick-recipe").code == 0
    assert runs.calls[:2] == [("tiny", "toy_sources", True, False), ("tiny", "toy_sources", False, True)]
    assert runs.picks == [(300.0, False), (300.0, False), (12.5, True)]
    assert (root / ".ok_ml" / "size").read_text() == "tiny\n"
    ok("run", "--wait")
    assert runs.waits == [False, False, False, True]


def test_the_first_line_says_which_size_runs_and_how_to_get_the_usual_one(ok: Ok, runs: Runs) -> None:
    assert ok("run").err.splitlines()[0] == "toy_sources in size default"
    assert ok("run", "--size", "tiny").err.splitlines()[0] == "toy_sources in size tiny"
    remembered = ok("run").err.splitlines()[0]
    assert remembered == (
        "toy_sources in size tiny, as in the last run; the usual one: ok-ml run toy_sources --size default"
    )
    assert "size" not in ok("run", "--quiet").err
    assert ok("run", "--size", "default").err.splitlines()[0] == "toy_sources in size default"
    assert runs.calls[-1][0] == "default"


def test_run_prints_tables_and_the_next_command(ok: Ok, runs: Runs) -> None:
    shown = ok("run", "toy_sources")
    assert "toy/events  1,234" in shown.out
    assert "MODEL       NDCG@10  OF ORACLE" in shown.out
    assert "two_stage alone: brier@10 0.0312\n" in shown.out
    assert "two_stage    0.3100        44%" in shown.out
    assert "popularity   0.2000          -" in shown.out
    assert "LISTS OF SOURCES THAT WERE  NEVER_SHOWN NDCG@10" in shown.out
    assert "two_stage                                0.1500" in shown.out
    assert "users: never_shown 120, reacted_before 40" in shown.out
    assert "two_stage - popularity, never_shown  ndcg@10   +0.0500" in shown.out
    assert "two_stage - popularity               ndcg@10   +0.1100  +0.1000 .. +0.1200  yes" in shown.out
    assert "unchanged  features" in shown.out
    assert "toy_sources (default, seed 7): generation g, model version 3, 12.5 s, peak memory 900 MiB" in shown.out
    assert "ok-ml get toy_sources 42" in shown.err


def test_run_as_json_is_one_document(ok: Ok, runs: Runs) -> None:
    found = ok("run", "toy_sources", "--json").json
    assert found["example_user"] == "42"
    assert {"name", "value", "unit", "peer", "peer_value", "ratio"} == set(found["rows"][0])


def test_run_s_refusal_keeps_its_exit_code(ok: Ok, runs: Runs) -> None:
    runs.error = GateRefused(
        "ndcg@10 is 0.1, the champion has 0.2", why="likes would fall", remedy="look at the evaluation"
    )
    shown = ok("run", "toy_sources")
    assert (shown.code, shown.out) == (4, "")
    assert "the champion has 0.2" in shown.err


# -- config and validate ---------------------------------------------------------------------------------------------


def test_config_shows_values_with_their_origins(ok: Ok) -> None:
    shown = ok("--size", "tiny", "config", "toy_sources")
    assert shown.code == 0
    line = next(line for line in shown.out.splitlines() if line.startswith("stages.model.num_trees "))
    assert line.split(None, 2) == ["stages.model.num_trees", "60", "size tiny, configs/experiments/toy_sources.yml:18"]
    found = ok("config", "toy_sources", "--json").json
    assert set(found) == {"environment", "datasets.toy", "experiments.toy_sources"}
    trees = next(value for value in found["experiments.toy_sources"] if value["key"] == "stages.model.num_trees")
    assert trees == {"key": "stages.model.num_trees", "value": 150, "origin": "configs/experiments/toy_sources.yml:9"}


def test_validate_lists_everything_and_fails(ok: Ok, root: Path) -> None:
    assert ok("validate").code == 0
    assert ok("validate", "--json").json == {"valid": True, "problems": []}
    edit(root, "configs/experiments/toy_sources.yml", "num_trees: 150", "num_trees: 0")
    edit(root, "configs/datasets/toy.yml", "parts: 4", "parts: 0")
    shown = ok("validate")
    assert shown.code == 2
    assert [line.split(":")[0] for line in shown.out.splitlines()] == [
        "configs/datasets/toy.yml",
        "configs/experiments/toy_sources.yml",
    ]
    assert shown.err == "2 problems.\n"
    assert len(ok("validate", "--json").json["problems"]) == 2


# -- clean ---------------------------------------------------------------------------------------------------------


def test_clean_removes_the_state_and_nothing_else(ok: Ok, root: Path) -> None:
    publish(root, FIRST)
    shown = ok("clean", "--dry-run")
    assert shown.out.startswith(f"would remove {root / '.ok_ml'}")
    assert (root / ".ok_ml").exists()
    done = ok("clean", "--yes", "--json").json
    assert done["removed"] is True
    assert done["bytes"] > 0
    assert not (root / ".ok_ml").exists()
    assert (root / "configs" / "base.yml").exists()
    assert "Nothing to remove" in ok("clean", "--yes").err


def test_clean_asks_first(ok: Ok, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(root, FIRST)
    monkeypatch.setattr("click.confirm", lambda *_args, **_how: False)
    monkeypatch.setattr("rich_click.confirm", lambda *_args, **_how: False, raising=False)
    shown = ok("clean")
    assert shown.code == 2
    assert "nothing was removed" in shown.err
    assert (root / ".ok_ml").exists()


@pytest.mark.parametrize("where", [".", "..", "~", "/"])
def test_clean_never_removes_more_than_state(ok: Ok, root: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OK_ML_STATE", {".": str(root), "~": str(Path.home())}.get(where, where))
    shown = ok("clean", "--yes")
    assert shown.code == 2
    assert "holds more than the state" in shown.err
    assert (root / "configs").exists()


def test_clean_refuses_while_a_process_works_there(ok: Ok, root: Path) -> None:
    publish(root, FIRST)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)", str(root / ".ok_ml")]) as child:
        shown = ok("clean", "--yes")
        child.kill()
    assert shown.code == 3
    assert f"process {child.pid} works in" in shown.err
    assert (root / ".ok_ml").exists()


def test_the_helper_publishes_what_the_store_reads(root: Path) -> None:
    publish(root, FIRST)
    project = load_project(root)
    store = open_store(project.environment.storage, project.root)
    assert store.current("toy_sources") == FIRST
    assert orjson.dumps(store.generations("toy_sources")[0].manifest.details) == b'{"data_dt":"2026-01-31"}'
    store.close()
