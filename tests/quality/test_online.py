"""What people did with what they were served, by hand."""

import numpy as np
import pytest

from ok_ml.quality.ranking.online_ranking import (
    ORGANIC,
    SERVED,
    SUBSCRIBED,
    PartDay,
    by_channel,
    in_lists,
    online_numbers,
    wrong_way,
)
from ok_ml.quality.statistics.number_series import Name

LISTS = np.array([[10, 11, -1], [12, 13, 14]])


def part(segments, hits, active, shown, reacted, covered, strangers=0):
    return PartDay(
        np.array(segments, object),
        {"hit_rate@10": np.array(hits, float)},
        np.array(active),
        np.array(shown),
        np.array(reacted),
        {10: np.array(covered)},
        strangers,
    )


def value(numbers, metric, group=""):
    (found,) = [one for one in numbers if one.name == Name(metric, group)]
    return found.value, found.n


def test_a_source_is_served_if_it_is_in_the_list_of_that_user():
    rows, sources = np.array([0, 0, 1, 0]), np.array([10, 12, 12, -1])
    assert in_lists(LISTS, rows, sources).tolist() == [True, False, True, False]


def test_posts_are_counted_by_channel_and_served_comes_first():
    """User 0: one served that is also subscribed, one subscribed; user 1: two organic, of which one is not counted."""
    rows = np.array([0, 0, 1, 1])
    served, subscribed = np.array([True, False, False, False]), np.array([True, True, False, False])
    counted = np.array([True, True, True, False])
    found = by_channel(2, rows, served, subscribed, counted)
    assert found[0].tolist() == [1, 1, 0]
    assert found[1].tolist() == [0, 0, 1]
    assert (SERVED, SUBSCRIBED, ORGANIC) == (0, 1, 2)


@pytest.fixture(scope="module")
def numbers():
    """Two parts: three users of two segments, one of them did not come, one found nothing new."""
    first = part(["a", "b"], [1, 0], [True, True], [[2, 1, 1], [0, 2, 2]], [[1, 0, 0], [0, 1, 0]], [10, 11, -1])
    second = part(["a"], [np.nan], [False], [[0, 0, 0]], [[0, 0, 0]], [-1], strangers=1)
    return online_numbers([first, second], model_version=3, catalogue_size=8, impressions=True)


def test_means_are_over_users_with_something_to_find(numbers):
    assert value(numbers, "hit_rate@10") == (0.5, 2)
    assert value(numbers, "hit_rate@10", "segment a") == (1.0, 1)
    assert value(numbers, "hit_rate@10", "segment b") == (0.0, 1)
    assert value(numbers, "hit_rate@10", "model 3") == (0.5, 2)


def test_rates_are_over_posts_shown(numbers):
    assert value(numbers, "served_impression_share") == (2 / 8, 8)
    assert value(numbers, "reaction_rate_served") == (0.5, 2)
    assert value(numbers, "reaction_rate_subscribed") == (1 / 3, 3)
    assert value(numbers, "reaction_rate_organic") == (0.0, 3)
    assert value(numbers, "reaction_rate_served", "segment b") == (None, 0)


def test_coverage_and_strangers(numbers):
    assert value(numbers, "coverage@10") == (2 / 8, 2)
    assert value(numbers, "users_without_list_share") == (1 / 3, 3)
    assert value(numbers, "active_users") == (2.0, 3)


def test_a_log_without_impressions_tells_no_rates(numbers):
    one = part(["a"], [1], [True], [[0, 0, 0]], [[0, 0, 0]], [10])
    names = {
        number.name.metric for number in online_numbers([one], model_version=1, catalogue_size=2, impressions=False)
    }
    assert names == {"hit_rate@10", "active_users", "users_without_list_share", "coverage@10"}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (Name("ndcg@10"), -1), (Name("hit_rate@10", "segment a"), -1), (Name("hit_rate@10/3d"), 0),
        (Name("ndcg@10", "model 2"), 0), (Name("reaction_rate_organic"), 0), (Name("reaction_rate_served"), -1),
    ],
)  # fmt: skip
def test_only_a_fall_of_what_the_lists_earn_is_wrong(name, way):
    assert wrong_way(name) == way
