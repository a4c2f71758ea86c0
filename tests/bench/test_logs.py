"""The cuts of a log, and what is said of a champion beside simple models."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bench.logs import Split, compared, logs_of, splits_of, table, write_experiment
from ok_ml.datasets.onboarding.guess.starter import experiment_text
from ok_ml.stages.evaluation import Evaluated
from tests.datasets.onboarding.guess.test_guessed_settings import HONEST

SPLIT = Split("2026-01-09", "2026-01-10")
VALUES = {"recall@10": 0.3, "ndcg@10": 0.3, "coverage@10": None}


def evaluated(*, low: float, high: float) -> Evaluated:
    def row(kind: str, model: str, metric: str, estimate: float, baseline: str = "") -> dict:
        bounds = {"low": low, "high": high} if kind == "difference" else {"low": 0.0, "high": 1.0}
        return {
            "kind": kind,
            "model": model,
            "baseline": baseline,
            "metric": metric,
            "estimate": estimate,
            "users": 50,
            **bounds,
        }

    scores = {"two_stage": 0.2, "champion": 0.9, "oracle": 0.8, "popularity": 0.1, "ease": 0.3}
    rows = [row("score", name, metric, value) for name, value in scores.items() for metric in ("recall@10", "ndcg@10")]
    return Evaluated([*rows, row("difference", "two_stage", "ndcg@10", -0.1, "ease")])


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-0.2, -0.05, "worse"), (-0.2, 0.01, "equal"), (0.01, 0.1, "better")]
)
def test_the_champion_is_held_against_the_best_simple_model(low: float, high: float, verdict: str) -> None:
    """Neither the champion of before nor the planted truth is one."""
    one = compared("shop", SPLIT, evaluated(low=low, high=high), "two_stage", VALUES)
    assert (one.served, one.best, one.users, one.verdict) == ("two_stage", "ease", 50, verdict)
    assert verdict in table([one])[-1]


def test_a_simple_list_that_is_served_is_the_best_simple_model_itself() -> None:
    one = compared("shop", SPLIT, evaluated(low=-0.2, high=-0.1), "ease", VALUES)
    assert (one.served, one.best, one.verdict) == ("ease", "ease", "equal")


def test_a_list_that_no_baseline_is_stands_by_its_estimate() -> None:
    assert compared("shop", SPLIT, evaluated(low=0, high=0), "blend", VALUES | {"ndcg@10": 0.35}).verdict == "better"
    assert compared("shop", SPLIT, evaluated(low=0, high=0), "blend", VALUES | {"ndcg@10": 0.25}).verdict == "worse"


def test_each_cut_judges_on_the_last_fifth_of_the_events_before_the_next() -> None:
    rows = [(f"2026-01-{day:02d}", 10) for day in range(1, 26)]
    splits = splits_of(rows, 3)
    assert splits == [
        Split("2026-01-21", "2026-01-25"),
        Split("2026-01-17", "2026-01-20"),
        Split("2026-01-14", "2026-01-16"),
    ]


def test_a_busy_last_day_judges_alone() -> None:
    assert splits_of([("2026-01-01", 10), ("2026-01-02", 10), ("2026-01-03", 500)], 1) == [
        Split("2026-01-03", "2026-01-03")
    ]


def test_only_files_that_may_be_logs_are_read(tmp_path: Path) -> None:
    for name in ("b.csv", "a.dat.gz", "README.md", "a.yml", "c.parquet", "notes.pdf"):
        (tmp_path / name).write_text("")
    assert [path.name for path in logs_of(tmp_path)] == ["a.dat.gz", "b.csv", "c.parquet"]


def test_only_the_days_of_the_experiment_are_other_than_a_stranger_gets(tmp_path: Path) -> None:
    """The first recipe is the one that others have to beat, so their order counts."""
    text = experiment_text("mine", HONEST["four weeks, dense"], "source_recommendation")
    write_experiment(tmp_path / "mine.yml", text, 5)
    written, given = (YAML(typ="safe").load(one) for one in ((tmp_path / "mine.yml").read_text(), text))
    assert written["stages"]["evaluation"].pop("days") == 5
    del given["stages"]["evaluation"]["days"]
    assert written == given
    assert list(written["recipes"]) == list(given["recipes"])
    assert next(iter(written["recipes"])) == "standard"
