"""Laws that every declaration keeps."""

import pytest

from ok_ml.config.models import FeaturesStage
from ok_ml.errors import UsageError
from ok_ml.features.declared.registry import FEATURES, absent_values, by_name, describe, feature_names, features_of

FAMILIES = {"activity", "affinity", "popularity", "recency", "social", "content"}


def test_enough_of_every_kind() -> None:
    assert len(FEATURES) >= 34
    assert {feature.family for feature in FEATURES} == FAMILIES
    assert all(len(features_of(entity)) >= 8 for entity in ("user", "source", "pair"))


def test_names_are_unique_and_begin_with_the_entity() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names)
    assert all(feature.name.startswith(f"{feature.entity}_") for feature in FEATURES)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_declaration_says_everything(feature) -> None:
    assert 10 <= len(feature.description) <= 100
    assert feature.description.endswith(".")
    assert feature.unit
    assert "@" in feature.owner
    assert feature.window in {None, *FeaturesStage.model_fields}
    assert bool(feature.why) == (feature.judged != "level"), "what is not judged by its level says why"
    low, high = feature.range
    assert low is None or low <= feature.absent
    assert high is None or feature.absent <= high


def test_order_of_columns_is_the_order_of_declarations() -> None:
    assert (*feature_names("user"), *feature_names("source"), *feature_names("pair")) == tuple(f.name for f in FEATURES)
    assert set(absent_values()) == {feature.name for feature in FEATURES}


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert by_name("pair_ctr").unit == "clicks an impression"
    with pytest.raises(UsageError, match=r"no feature named 'pair_crt'; known: user_events, .*pair_ctr"):
        by_name("pair_crt")


def test_describe_has_a_row_a_feature() -> None:
    rows = describe()
    assert [row["feature"] for row in rows] == [feature.name for feature in FEATURES]
    assert {row["entity"] for row in describe("source")} == {"source"}
    assert rows[0] == {
        "feature": "user_events",
        "entity": "user",
        "family": "activity",
        "description": "Everything the user saw or did.",
        "unit": "events",
        "window": "activity_days",
        "absent": 0,
        "range": "0 .. 1e+09",
        "owner": "discovery@example.org",
        "judged": "level",
    }
