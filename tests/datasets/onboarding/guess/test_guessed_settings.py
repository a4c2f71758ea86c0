"""Settings of a first experiment: what follows from the length, density and grain of a log."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from ruamel.yaml import YAML

from ok_ml.datasets.onboarding.guess.guessed_settings import settings_for
from ok_ml.datasets.onboarding.guess.measuring import Finds, LogProfile
from ok_ml.datasets.onboarding.guess.starter import experiment_text
from ok_ml.errors import DataError
from ok_ml.partitions import TrainingCalendar, minus_days, training_calendar
from ok_ml.pipelines.source_recommendation.settings import Experiment


def log(
    days: int, users: int, share: float, events: float, *, sources: int = 500, every: int = 1, grain: str = "day"
) -> LogProfile:
    """`users` who are there from the first day; a `share` of them finds something on each day, they make `events` a day."""
    if grain == "month":
        dts = [f"{2005 + month // 12}-{1 + month % 12:02}-01" for month in range(days)]
    else:
        dts = [minus_days("2026-01-01", day) for day in range(days, 0, -every)]
    ordinals = np.array([date.fromisoformat(dt).toordinal() - date(1970, 1, 1).toordinal() for dt in dts])
    count = max(round(users * share), 1)
    rng = np.random.default_rng(7)
    who = np.concatenate([rng.permutation(users)[:count] for _ in dts])
    finds = Finds(who, np.repeat(ordinals, count), np.full(len(who), ordinals[0]))
    span = int(ordinals[-1] - ordinals[0]) + (31 if grain == "month" else 1)
    return LogProfile(grain, tuple(dts), round(events * span), users, sources, users * span, finds)


def only(profile: LogProfile, dts: list[str]) -> LogProfile:
    finds = profile.finds
    kept = np.isin(finds.days, [date.fromisoformat(dt).toordinal() - date(1970, 1, 1).toordinal() for dt in dts])
    return replace(profile, dts=tuple(dts), finds=Finds(finds.users[kept], finds.days[kept], finds.first_days[kept]))


def gap(profile: LogProfile, begin: int, end: int) -> LogProfile:
    return only(profile, [*profile.dts[:begin], *profile.dts[end:]])


def workdays(profile: LogProfile) -> LogProfile:
    return only(profile, [dt for dt in profile.dts if date.fromisoformat(dt).weekday() < 5])


HONEST = {
    "five days": log(5, 500, 0.5, 2000),
    "twenty days, few users": log(20, 300, 0.5, 400, sources=120),
    "four weeks, dense": log(28, 20_000, 0.4, 75_000, sources=5000),
    "ten users": log(20, 10, 0.9, 40),
    "check-ins, ten months": log(300, 2000, 0.02, 760, sources=8000),
    "one event a week": log(365, 1000, 0.14, 143),
    "three years": log(1096, 3000, 0.1, 900),
    "every third day": log(90, 800, 0.3, 800, every=3),
    "months": log(70, 1900, 0.1, 90, sources=12_000, grain="month"),
    "five months": log(5, 400, 0.5, 50, grain="month"),
    "five weeks missing": gap(log(55, 300, 0.5, 400, sources=120), 14, 49),
    "a gap before the judged days": gap(log(120, 900, 0.3, 900), 80, 106),
    "workdays": workdays(log(40, 700, 0.4, 700)),
    "twelve sources": log(40, 3000, 0.3, 3000, sources=12),
    **{
        f"{count} {grain}s": log(count, 700, 0.2, 500, grain=grain)
        for count in (5, 9, 14, 30, 400)
        for grain in ("day", "month")
    },
}


def parsed(profile: LogProfile, recipe: str | None = None) -> Experiment:
    """What the file says, as the loader reads it."""
    data = YAML(typ="safe").load(experiment_text("mine", profile, "source_recommendation"))
    changed = data.pop("recipes")[recipe]["stages"] if recipe else data.pop("recipes") and {}
    data["stages"] |= {stage: data["stages"].get(stage, {}) | fields for stage, fields in changed.items()}
    return Experiment.model_validate(data)


def calendar(profile: LogProfile, config: Experiment) -> TrainingCalendar:
    plan = config.stages.training_set
    return training_calendar(profile.dts, plan.label_days, config.stages.evaluation.days, plan.windows)


@pytest.mark.parametrize("name", HONEST)
def test_every_honest_log_gets_settings_that_it_holds(name: str) -> None:
    profile = HONEST[name]
    for recipe in [None, *list(settings_for(profile).recipes)[1:]]:
        config = parsed(profile, recipe)
        stages, plan = config.stages, calendar(profile, config)
        count, known = len(profile.dts), profile.dts.index(plan.windows[0].cut) + 1
        assert len(plan.eval_dts) <= max(1, count // 5)
        assert len(plan.label_dts) <= max(1, count // 3)
        assert known >= count // 3
        before = date.fromisoformat(plan.windows[0].label_dts[0]) - date.fromisoformat(profile.dts[0])
        features = stages.features
        assert max(features.activity_days, features.affinity_days, features.popularity_days) <= before.days
        assert features.activity_days <= features.affinity_days
        assert stages.predictions.top_n <= stages.predictions.candidates <= max(profile.sources, 10)
        if profile.sources >= 30:
            assert stages.predictions.candidates >= 3 * stages.predictions.top_n


@pytest.mark.parametrize(
    ("name", "judged", "labels", "windows"),
    [
        ("five days", 1, 1, 1),
        ("twenty days, few users", 3, 3, 2),
        ("four weeks, dense", 3, 3, 1),
        ("check-ins, ten months", 28, 28, 3),  # a week has 280 finders at most
        ("one event a week", 7, 7, 4),
        ("three years", 7, 7, 3),
    ],
)
def test_judged_days_and_labels_are_as_long_as_it_takes(name: str, judged: int, labels: int, windows: int) -> None:
    stages = parsed(HONEST[name]).stages
    assert (stages.evaluation.days, stages.training_set.label_days, stages.training_set.windows) == (
        judged,
        labels,
        windows,
    )


def test_a_sparse_log_of_months_gives_a_thousand_lists() -> None:
    profile = HONEST["check-ins, ten months"]
    config = parsed(profile)
    plan = calendar(profile, config)
    assert sum(profile.finds.finders(one.label_dts[0], one.label_dts[-1]) for one in plan.windows) >= 1000
    assert config.stages.training_set.labels == "window"


def test_windows_of_features_grow_as_events_become_rare() -> None:
    dense, sparse = (parsed(HONEST[name]).stages.features for name in ("four weeks, dense", "one event a week"))
    assert dense.affinity_days <= 14
    assert sparse.affinity_days >= 182
    assert dense.popularity_days < sparse.popularity_days
    assert parsed(HONEST["months"]).stages.features.affinity_days >= 366


def test_few_lists_teach_a_small_model_by_cross_validation() -> None:
    few, many = parsed(HONEST["ten users"]).stages, parsed(HONEST["four weeks, dense"]).stages
    assert (few.model.folds, many.model.folds) == (8, 1)
    assert few.model.num_leaves < many.model.num_leaves
    assert few.training_set.negatives_per_positive > many.training_set.negatives_per_positive


def test_recipes_begin_with_the_file_itself_and_each_changes_something() -> None:
    for name, profile in HONEST.items():
        recipes = settings_for(profile).recipes
        assert next(iter(recipes)) == "standard"
        assert 3 <= len(recipes) <= 6, name
        told = [parsed(profile, recipe if number else None).model_dump_json() for number, recipe in enumerate(recipes)]
        assert len(set(told)) == len(told), name


def test_every_number_that_follows_from_the_log_says_why() -> None:
    lines = experiment_text("mine", HONEST["check-ins, ten months"], "source_recommendation").splitlines()
    for key in ("window_days", "affinity_days", "popularity_days", "label_days", "windows", "days", "candidates"):
        assert any(f"{key}: " in line and "  # " in line for line in lines), key
    assert any("280" in line or "find something new" in line for line in lines if "    days:" in line)


def test_too_few_partitions_are_refused() -> None:
    profile = HONEST["five days"]
    with pytest.raises(DataError, match="4 partitions of one day are too few for an experiment, which needs 5"):
        settings_for(replace(profile, dts=profile.dts[1:]))
