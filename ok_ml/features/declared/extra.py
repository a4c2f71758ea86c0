"""Features of the project: declarations in files that `stages.features.extra` names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from ok_ml.config.extensions import load, source_of
from ok_ml.config.sections.code_kinds import FEATURES as KIND
from ok_ml.config.sections.recommender_models import FeaturesStage
from ok_ml.errors import ConfigError
from ok_ml.features.declared.feature import Family, Feature, Judged, Window
from ok_ml.features.declared.registry import FEATURES

_ENTITIES: Final = tuple(dict.fromkeys(feature.entity for feature in FEATURES))
_FAMILIES: Final = get_args(Family)
_JUDGED: Final = get_args(Judged)
_WINDOWS: Final = (*get_args(Window), None)


def features_of_stage(stage: FeaturesStage, root: Path) -> tuple[Feature, ...]:
    """The shipped features and, after them, those that the stage names; names are unique.

    Raises
    ------
    ConfigError
        A file is missing or fails, what it names is no feature, or a name stands twice.
    """
    extra = [feature for named in stage.extra for feature in declared(named, root)]
    names = [feature.name for feature in (*FEATURES, *extra)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{KIND.key}: the feature {', '.join(twice)} is declared twice",
            why="the ranker tells its columns apart by name",
            remedy="give each feature a name of its own",
        )
    return (*FEATURES, *extra)


def declared(named: str, root: Path) -> tuple[Feature, ...]:
    """The features of one path: one, or a tuple of them, each declared as it must be."""
    loaded = load(KIND, named, root)
    features = tuple(loaded) if isinstance(loaded, list | tuple) else (loaded,)
    faults = [fault for feature in features for fault in _faults(feature)] if features else ["an empty tuple"]
    if faults:
        raise ConfigError(
            f"{KIND.key}: {named}: {'; '.join(faults)}",
            why="it would be computed wrongly, or not at all",
            remedy="declare it as those in ok_ml/features/declared/user_features.py; docs/extend.md has an example",
        )
    return features


def extra_hashes(stage: FeaturesStage, root: Path, entity: str) -> dict[str, str]:
    """Path -> hash of its file, of every path that declares a feature of an entity: what its table is made from."""
    hashes = {}
    for named in stage.extra:
        source = source_of(KIND, named, root)
        if source is not None and any(feature.entity == entity for feature in declared(named, root)):
            hashes[named] = source.sha256
    return hashes


def _faults(feature: Any) -> Iterator[str]:
    if not isinstance(feature, Feature):
        yield f"expected a Feature, got {type(feature).__name__}"
        return
    for name, known in (("entity", _ENTITIES), ("family", _FAMILIES), ("window", _WINDOWS), ("judged", _JUDGED)):
        value = getattr(feature, name)
        if value not in known:
            yield f"{feature.name}: expected {name} of {_listed(known)}, got {value!r}"
    if not feature.name.isidentifier() or not feature.name.startswith(f"{feature.entity}_"):
        yield f"{feature.name}: expected a name that begins with {feature.entity}_"
    if feature.judged != "level" and not feature.why:
        yield f"{feature.name}: expected a why beside judged={feature.judged!r}: a reader has to know why it does not drift"
    value, bounds = vars(feature)["value"], vars(feature)["range"]
    if not callable(value):
        yield f"{feature.name}: expected a function of a frame as value, got {value!r}"
    if not (isinstance(bounds, tuple) and len(bounds) == 2):
        yield f"{feature.name}: expected a range (least, largest), got {bounds!r}"


def _listed(known: Sequence[str | None]) -> str:
    return ", ".join(str(word) for word in known)
