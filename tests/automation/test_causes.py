"""Causes, cool-down and retries as functions of facts, by whole histories of days."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from ruamel.yaml import YAML

from ok_ml.config.models import FreshnessConfig, RetrainingConfig
from ok_ml.release.automation.retraining import Decision, Facts, Try, called_for, causes, outlook, reason
from ok_ml.release.training_recipe import changes, in_short
from tests.small_project import ROOT

RECIPE = {"config.seed": "1", "config.stages.model.num_trees": "60", "code.model": "2"}
LIMITS = RetrainingConfig(cool_down_days=1.0, drift_days=2, retries_a_day=1, most_retries=3)
FIRST = date(2026, 1, 5)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def facts(today: int, decided: int | Decision | None = 0, **more: object) -> Facts:
    """Of an experiment whose last model was judged on a day, with everything else as it was then."""
    known = Decision(day(decided), f"v-{decided}", "", RECIPE) if isinstance(decided, int) else decided
    found = Facts(LIMITS, 7.0, day(today), None, known, RECIPE)
    return replace(found, **more)


def history(
    days: int, at: Callable[[int, Facts], Facts], *, fails: Sequence[int] | range = (), ticks: int = 3
) -> list[tuple[int, str]]:
    """Days of an experiment that was trained on day 0: (day, reason) of each training; some days' trainings fail."""
    decided, tries, story = 0, [], []
    for today in range(1, days + 1):
        for _ in range(ticks):
            now = at(today, facts(today, decided, tries=tries))
            found = called_for(now)
            if not found:
                continue
            story.append((today, reason(found)))
            tries = [*tries, Try(frozenset(cause.key for cause in found), day(today))]
            if today not in fails:
                decided = today
    return story


def same(_today: int, now: Facts) -> Facts:
    return now


def drifted(today: int, now: Facts) -> Facts:
    """Features have been off since day 1; days before the last decision do not count."""
    since = max(now.age_days, 0)
    return replace(now, warned=[(day(today - back), "posts psi 0.14") for back in range(min(since, today))])


# -- age -----------------------------------------------------------------------------------------------------------------


def test_a_model_of_seven_days_is_trained_every_seven_days_of_data() -> None:
    assert history(22, same) == [(7 * week, "model is 7 days old (limit 7)") for week in (1, 2, 3)]


def test_the_first_training_needs_no_cause_in_the_yaml() -> None:
    found = called_for(facts(0, None, limits=LIMITS.model_copy(update={"causes": ()})))
    assert [cause.kind for cause in found] == ["absent"]


def test_several_causes_make_one_training_that_tells_them_all() -> None:
    now = facts(8, recipe={**RECIPE, "config.seed": "2"}, online="ndcg@10 fell")
    assert reason(called_for(now)) == (
        "configuration changed: seed: 1 -> 2; online metrics fell: ndcg@10 fell; model is 8 days old (limit 7)"
    )


# -- cool-down -----------------------------------------------------------------------------------------------------------


def test_drift_that_no_training_cures_trains_ever_more_seldom_and_never_less_than_age_does() -> None:
    days = [today for today, _ in history(60, drifted)]
    assert days[:4] == [2, 4, 8, 15]  # two days of drift, then cool-downs of 2, 4 and 7 days
    assert max(other - one for one, other in pairwise(days)) == 7


def test_a_cool_down_of_three_days_is_three_days_of_data() -> None:
    limits = LIMITS.model_copy(update={"cool_down_days": 3.0})

    def fell(_today: int, now: Facts) -> Facts:
        return replace(now, limits=limits, online="ndcg@10 fell")

    assert [today for today, _ in history(12, fell)][:2] == [3, 9]  # then 6


def test_drift_of_one_day_is_noise() -> None:
    def odd(today: int, now: Facts) -> Facts:
        return replace(now, warned=[(day(today), "posts psi 0.14")] if today % 2 else [])

    assert history(6, odd) == []


def test_a_changed_configuration_does_not_wait_for_a_cool_down() -> None:
    now = facts(0, recipe={**RECIPE, "config.seed": "2"}, online="ndcg@10 fell")
    assert [cause.kind for cause in called_for(now)] == ["config"]


# -- retries -------------------------------------------------------------------------------------------------------------


def test_a_training_that_fails_is_retried_a_day_apart_and_then_no_more() -> None:
    assert [today for today, _ in history(40, same, fails=range(100))] == [7, 8, 9, 10]


def test_retries_of_a_day_and_in_all_come_from_the_yaml() -> None:
    limits = LIMITS.model_copy(update={"retries_a_day": 2, "most_retries": 5})

    def limited(_today: int, now: Facts) -> Facts:
        return replace(now, limits=limits)

    assert [today for today, _ in history(40, limited, fails=range(100), ticks=5)] == [7, 8, 8, 9, 9, 10]


def test_a_retry_that_succeeds_ends_the_matter() -> None:
    assert [today for today, _ in history(16, same, fails=(7,))] == [7, 8, 15]


def test_another_cause_has_tries_of_its_own_and_so_has_another_configuration() -> None:
    stale = frozenset({causes(facts(8))["stale"].key})
    tries = [Try(stale, day(8 + number)) for number in range(4)]
    stuck = facts(13, tries=tries)
    assert called_for(stuck) == []
    assert outlook(stuck) == (
        "model is 13 days old (limit 7), but 4 trainings for it failed: it waits for another cause or a person"
    )
    changed = replace(stuck, recipe={**RECIPE, "config.seed": "2"})
    assert reason(called_for(changed)) == "configuration changed: seed: 1 -> 2"
    failed = [*tries, *(Try(frozenset({causes(changed)["config"].key}), day(13 + n)) for n in range(4))]
    assert called_for(replace(changed, today=day(20), tries=failed)) == []
    again = replace(changed, today=day(20), tries=failed, recipe={**RECIPE, "config.seed": "3"})
    assert reason(called_for(again)) == "configuration changed: seed: 1 -> 3"


def test_a_training_that_has_not_ended_is_waited_for_however_long() -> None:
    key = causes(facts(7))["stale"].key
    assert called_for(facts(30, tries=[Try(frozenset({key}), day(7), ended=False)])) == []


def test_nothing_is_learnt_from_a_day_that_must_wait() -> None:
    now = facts(8, wait="the features of 2026-01-13 are blocked")
    assert called_for(now) == []
    assert outlook(now) == "waits: the features of 2026-01-13 are blocked"


def test_the_documentation_shows_the_section_as_it_is_by_default() -> None:
    text = (ROOT / "docs" / "automation.md").read_text()
    section = text.partition("```yaml\n")[2].partition("```")[0]
    shown = YAML(typ="safe").load(section)
    assert RetrainingConfig.model_validate_json(json.dumps(shown["retraining"])) == RetrainingConfig()
    assert set(shown["retraining"]) == set(RetrainingConfig.model_fields)
    assert shown["freshness"]["model_days"] == FreshnessConfig().model_days


# -- recipes -------------------------------------------------------------------------------------------------------------


def test_a_model_of_before_recipes_were_kept_is_not_called_changed() -> None:
    assert called_for(facts(1, decided=Decision(day(0), "v-0", "", None))) == []


def test_what_changed_is_told_by_key_and_value() -> None:
    then, now = (
        {"config.a": "1", "config.b": "2", "code.model": "1"},
        {"config.a": "3", "config.c": "4", "code.model": "2"},
    )
    assert changes(then, now, "config") == ["a: 1 -> 3", "b: 2 -> default", "c: default -> 4"]
    assert changes(then, now, "code") == ["model: 1 -> 2"]
    assert in_short(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


@pytest.mark.parametrize("kind", ["stale", "drift", "online", "config", "code"])
def test_a_cause_is_the_same_until_a_model_was_judged(kind: str) -> None:
    moved = {**RECIPE, "config.seed": "2", "code.model": "3"}
    one, other = (causes(facts(today, recipe=moved, online="fell"))[kind].key for today in (8, 9))
    assert one == other
    if kind not in ("config", "code"):
        assert causes(facts(9, decided=1, recipe=moved))[kind].key != one
