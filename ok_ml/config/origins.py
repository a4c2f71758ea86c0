"""Where each value of the resolved configuration comes from."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from ok_ml.config.documents import Tree
from ok_ml.config.loader import Loaded
from ok_ml.config.problems import dotted, is_secret
from ok_ml.config.sections.frozen import KeyPath
from ok_ml.errors import UsageError

DEFAULT: str = "default"


class Resolved(NamedTuple):
    """One value, its dotted key and its origin: "default", a file and line, an overlay, or an environment variable."""

    key: str
    value: Any
    origin: str

    def as_yaml(self) -> str:
        """The value as one would write it."""
        return _yaml(self.value)


def resolve_with_origin(loaded: Loaded, section: str) -> list[Resolved]:
    """Every single value of a section, in the order of the models.

    Parameters
    ----------
    section
        ``environment``, ``datasets.<name>`` or ``experiments.<name>``.

    Raises
    ------
    UsageError
        There is no such section.
    """
    kind, _, name = section.partition(".")
    if kind == "environment" and not name:
        return list(_leaves(loaded.project.environment, loaded.files.environment, ()))
    models: dict[str, Any] = {"datasets": loaded.project.datasets, "experiments": loaded.project.experiments}
    if name not in models.get(kind, {}):
        raise UsageError(f"no section {section!r} in the configuration", remedy="see `ok-ml validate` for its files")
    return list(_leaves(models[kind][name], loaded.files.trees(kind)[name], ()))


def _leaves(value: Any, tree: Tree, path: KeyPath) -> Iterator[Resolved]:
    if isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _leaves(getattr(value, key), tree, (*path, key))
    elif isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, tree, (*path, key))
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, tree, (*path, index))
    else:
        shown = "(hidden)" if is_secret(path) and value is not None else value
        yield Resolved(dotted(path), list(shown) if isinstance(shown, tuple) else shown, _origin(tree, path))


def _origin(tree: Tree, path: KeyPath) -> str:
    place = tree.keys.get(path) or tree.values.get(path)
    if place is None:
        return DEFAULT
    where = f"{place.file}:{place.line}" if place.line else place.file
    if place.line == 0 and place.file.isupper():
        return f"environment variable {where}"
    return f"{place.layer}, {where}" if place.layer else where


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value) if value != "" else '""'
