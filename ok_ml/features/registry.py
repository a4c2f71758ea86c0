"""All features. Adding one is one declaration in user_features.py, source_features.py or pair_features.py."""

from typing import Final

from ok_ml.errors import UsageError
from ok_ml.features.feature import Entity, Feature
from ok_ml.features.pair_features import PAIR
from ok_ml.features.source_features import SOURCE
from ok_ml.features.user_features import USER

FEATURES: Final[tuple[Feature, ...]] = (*USER, *SOURCE, *PAIR)


def features_of(entity: Entity) -> tuple[Feature, ...]:
    """The features of an entity, in the order of their columns."""
    return tuple(feature for feature in FEATURES if feature.entity == entity)


def feature_names(entity: Entity) -> tuple[str, ...]:
    """Names of an entity's features, in the order of their columns."""
    return tuple(feature.name for feature in features_of(entity))


def absent_values() -> dict[str, float]:
    """Feature -> what stands where an entity has no row."""
    return {feature.name: feature.absent for feature in FEATURES}


def by_name(name: str) -> Feature:
    """A feature.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    for feature in FEATURES:
        if feature.name == name:
            return feature
    raise UsageError(
        f"no feature named {name!r}; known: {', '.join(feature.name for feature in FEATURES)}",
        why="a model or a check that names it would read nothing",
        remedy="choose one of them, or declare it in ok_ml/features/",
    )


def describe(entity: Entity | None = None) -> list[dict[str, str | float]]:
    """One row a feature for people to read, of one entity or of all."""
    return [
        {
            "feature": feature.name, "entity": feature.entity, "family": feature.family,
            "description": feature.description, "unit": feature.unit, "window": feature.window or "snapshot",
            "absent": feature.absent, "range": f"{_shown(feature.range[0])} .. {_shown(feature.range[1])}",
            "owner": feature.owner,
        }
        for feature in FEATURES
        if entity in (None, feature.entity)
    ]  # fmt: skip


def _shown(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"
