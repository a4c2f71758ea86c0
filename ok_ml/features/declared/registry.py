"""All features that are shipped. Adding one is one declaration in user_features.py, source_features.py or pair_features.py.

A project declares its own in files of its own: see `extra`.
"""

from typing import Final

from ok_ml import columns as c
from ok_ml.errors import UsageError
from ok_ml.features.declared.feature import Entity, Feature
from ok_ml.features.declared.pair_features import PAIR
from ok_ml.features.declared.source_features import SOURCE
from ok_ml.features.declared.user_features import USER

# Table of features -> what a row of it is about.
ENTITY_OF: Final = {
    c.USER_FEATURES: "user",
    c.SOURCE_FEATURES: "source",
    c.PAIR_FEATURES: "pair",
    c.TEXT_FEATURES: "text",
}
FEATURES: Final[tuple[Feature, ...]] = (*USER, *SOURCE, *PAIR)


def features_of(entity: Entity, features: tuple[Feature, ...] = FEATURES) -> tuple[Feature, ...]:
    """The features of an entity, in the order of their columns."""
    return tuple(feature for feature in features if feature.entity == entity)


def feature_names(entity: Entity, features: tuple[Feature, ...] = FEATURES) -> tuple[str, ...]:
    """Names of an entity's features, in the order of their columns."""
    return tuple(feature.name for feature in features_of(entity, features))


def absent_values(features: tuple[Feature, ...] = FEATURES) -> dict[str, float]:
    """Feature -> what stands where an entity has no row."""
    return {feature.name: feature.absent for feature in features}


def by_name(name: str, features: tuple[Feature, ...] = FEATURES) -> Feature:
    """A feature.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    for feature in features:
        if feature.name == name:
            return feature
    raise UsageError(
        f"no feature named {name!r}; known: {', '.join(feature.name for feature in features)}",
        why="a model or a check that names it would read nothing",
        remedy="choose one of them, or declare it in ok_ml/features/",
    )


def describe(entity: Entity | None = None, features: tuple[Feature, ...] = FEATURES) -> list[dict[str, str | float]]:
    """One row a feature for people to read, of one entity or of all."""
    return [
        {
            "feature": feature.name,
            "entity": feature.entity,
            "family": feature.family,
            "description": feature.description,
            "unit": feature.unit,
            "window": feature.window or "snapshot",
            "absent": feature.absent,
            "range": f"{_shown(feature.range[0])} .. {_shown(feature.range[1])}",
            "owner": feature.owner,
            "judged": f"{feature.judged}: {feature.why}" if feature.why else feature.judged,
        }
        for feature in features
        if entity in (None, feature.entity)
    ]


def _shown(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"
