"""What a training is made by, as far as people decide it: configuration and code. Two of them are compared word by word."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from ok_ml import columns as c
from ok_ml.config.extensions import source_of
from ok_ml.config.models import DatasetBase, ExperimentConfig
from ok_ml.stages.pipeline import Pipeline

CONFIG: Final = "config"
CODE: Final = "code"

# What decides rows that a training reads. Not: limits of checks, freshness, the gate, delivery, owners, retraining itself.
_OF_EXPERIMENT: Final = {"datasets", "stages", "seed"}
_OF_DATASET: Final = {
    "parts",
    "partition",
    c.EVENTS,
    c.USERS,
    c.SOURCES,
    c.FRIENDS,
    c.SUBSCRIPTIONS,
    "subscription",
    "has_impressions",
    "weights",
    "grades",
}
_PLACES: Final = (("path",), (c.EVENTS, "topic"))  # where raw rows come from: other rows show in the data
_JUDGING: Final = c.EVALUATION  # the stage that only judges
_SHOWN: Final = 3

Recipe = Mapping[str, str]


def recipe_of(pipeline: Pipeline) -> dict[str, str]:
    """Dotted key -> value as JSON, of everything that people decide about a training.

    Values that are the defaults of the code are left out, so that a new field with a default changes no recipe.

    Raises
    ------
    ConfigError
        A file of the project's own code is broken just now.
    """
    return {**_config(pipeline.config, pipeline.dataset), **_code(pipeline)}


def settings_of(config: ExperimentConfig) -> dict[str, Any]:
    """What of the YAML decides a training, as JSON with the defaults of today: with it, a recipe can be trained again.

    Not `stages.evaluation`: recipes are compared on the same cases.
    """
    return config.model_dump(mode="json", include=_OF_EXPERIMENT, exclude={"stages": {_JUDGING}})


def is_same(then: Recipe, now: Recipe) -> bool:
    """Whether two recipes train the same model from the same data, however it is judged."""
    judging = f"{CONFIG}.stages.{_JUDGING}.", f"{CODE}.{_JUDGING}"
    return all(then.get(key) == now.get(key) for key in {*then, *now} if not key.startswith(judging))


def changes(then: Recipe, now: Recipe, part: str) -> list[str]:
    """What differs in one part (`config` or `code`), a phrase each: ``stages.model.num_trees: 60 -> 61``."""
    keys = sorted(key for key in {*then, *now} if key.startswith(f"{part}.") and then.get(key) != now.get(key))
    return [f"{key.partition('.')[2]}: {then.get(key, 'default')} -> {now.get(key, 'default')}" for key in keys]


def in_short(phrases: list[str]) -> str:
    """The first few phrases, and how many more there are."""
    more = len(phrases) - _SHOWN
    return "; ".join(phrases[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _config(experiment: ExperimentConfig, dataset: DatasetBase) -> dict[str, str]:
    own = experiment.model_dump(mode="json", include=_OF_EXPERIMENT, exclude_defaults=True)
    read = dataset.model_dump(mode="json", include=_OF_DATASET, exclude_defaults=True)
    tree = {**own, dataset.dataset: read}
    return {f"{CONFIG}.{key}": orjson.dumps(value).decode() for key, value in _leaves(tree, ())}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            if not any((*path, key)[-len(place) :] == place for place in _PLACES):
                yield from _leaves(below, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, str(number)))
    else:
        yield ".".join(path), value


def _code(pipeline: Pipeline) -> dict[str, str]:
    versions = {f"{CODE}.{stage.name}": stage.code for stage in pipeline.type.made_for(c.EVALUATION)}
    return versions | own_code(pipeline)


def own_code(pipeline: Pipeline) -> dict[str, str]:
    """The part of a recipe that is the project's own code: a key for each file that the YAML names -> its hash.

    Raises
    ------
    ConfigError
        A file is gone or broken just now.
    """
    found = ((named, source_of(kind, named, pipeline.project.root)) for kind, named, _ in pipeline.config.code())
    return {f"{CODE}.{named}": source.sha256 for named, source in found if source is not None}
