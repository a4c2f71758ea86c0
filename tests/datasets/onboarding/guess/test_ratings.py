"""Ratings are not all likes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ok_ml.datasets.onboarding.guess.preview import Preview, preview_file


def preview(
    folder: Path, rating: Callable[[int], object], name: str = "log.csv", header: str = "user,film,rating,ts"
) -> Preview:
    rows = "".join(f"{n % 40}::{n % 70}::{rating(n)}::{1709252637 + n * 307}\n" for n in range(2000))
    (folder / name).write_text((header.replace(",", "::") + "\n" if header else "") + rows)
    return preview_file(folder / name, "mine", folder, shown=1)


@pytest.mark.parametrize(
    ("rating", "liked", "lower"),
    [
        (lambda n: 1 + n % 5, {"4", "5"}, {"1", "2", "3"}),
        (lambda n: n % 11, {"8", "9", "10"}, {str(n) for n in range(8)}),
        (lambda n: (1 + n % 10) / 2, {"4.0", "4.5", "5.0"}, {"0.5", "1.0", "1.5", "2.0", "2.5", "3.0", "3.5"}),
        (lambda n: 1 + n % 3, {"3"}, {"1", "2"}),
        (lambda n: 1 + n % 4, {"4", "5"}, {"1", "2", "3"}),  # nobody gave five stars yet
    ],
)
@pytest.mark.parametrize("header", ["user,film,rating,ts", ""])
def test_the_upper_quarter_of_the_scale_is_liked(
    tmp_path: Path, rating: Callable[[int], object], liked: set[str], lower: set[str], header: str
) -> None:
    found = preview(tmp_path, rating, "ratings.dat", header)
    config = found.proposal.config
    assert {text for text, kind in config.events.event_types.items() if kind == "like"} == liked
    assert {text for text, kind in config.events.event_types.items() if kind == "hide"} == lower
    assert (found.events, found.set_aside) == (2000, {})
    assert {kind for kind in config.weights if config.weights[kind] > 0} == {"like"}
    assert {kind for kind in config.grades if config.grades[kind] > 0} == {"like"}
    assert "hide" in config.subscription.event_types  # who disliked a film has met it
    assert any("the upper quarter of the scale, a like" in doubt for doubt in found.proposal.doubts)


def test_where_high_ratings_are_seldom_the_threshold_is_lower(tmp_path: Path) -> None:
    found = preview(tmp_path, lambda n: 5 if n % 50 == 0 else 1 + n % 3)
    assert {text for text, kind in found.proposal.config.events.event_types.items() if kind == "like"} == {
        "3",
        "4",
        "5",
    }
    assert any("seldom high: from 3 on a like" in doubt for doubt in found.proposal.doubts)


def test_zeros_that_are_the_most_frequent_are_no_rating(tmp_path: Path) -> None:
    found = preview(tmp_path, lambda n: 0 if n % 2 else 1 + n // 2 % 10)
    types = found.proposal.config.events.event_types
    assert (types["0"], types["7"], types["8"]) == ("click", "hide", "like")


def test_ratings_of_a_continuous_scale_have_a_condition(tmp_path: Path) -> None:
    found = preview(tmp_path, lambda n: f"{(n * 7919 % 2000) / 100 - 10:.2f}")
    config = found.proposal.config
    assert list(config.events.drop_if) == ["low_rating"]
    assert 900 <= found.events <= 1100
    assert any("lower ones set aside" in doubt for doubt in found.proposal.doubts)


def test_counts_and_prices_are_no_ratings(tmp_path: Path) -> None:
    for name in ("plays", "price", "quantity"):
        found = preview(tmp_path, lambda n: 1 + n % 5, header=f"user,film,{name},ts")
        assert "event_type" not in found.proposal.config.events.columns
