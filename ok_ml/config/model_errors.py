"""What the models expect of a value, and pydantic's errors in our words, each with its place in a file."""

import re
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ok_ml.config.documents import Tree
from ok_ml.config.problems import Problem, meant, one_of, shown
from ok_ml.config.sections.frozen import KeyPath


class Expectation(NamedTuple):
    """What a field takes: its type, its bounds, and the words that it may be."""

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words of a Literal, else nothing."""
        plain = _without_none(self.annotation)
        return tuple(map(str, get_args(plain))) if get_origin(plain) is Literal else ()

    def __str__(self) -> str:
        bounds = " and ".join(_bounds(self.metadata))
        return _words(self.annotation) + (f" {bounds}" if bounds else "")


def _words(annotation: Any) -> str:
    plain = _without_none(annotation)
    origin = get_origin(plain)
    if origin is Literal:
        return one_of(map(str, get_args(plain)))
    if origin in (tuple, list):
        return f"a list, each {_words(get_args(plain)[0])}"
    if origin is dict or _is_model(plain):
        return "a section of keys and values"
    simple = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return simple.get(plain, "a value")


def _bounds(metadata: tuple[Any, ...]) -> Iterable[str]:
    for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        yield from (f"{sign} {getattr(item, name)}" for item in metadata if getattr(item, name, None) is not None)
    yield from (
        f"with at least {item.min_length}" for item in metadata if getattr(item, "min_length", None) is not None
    )


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (types.UnionType, typing.Union):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def expectation_at(model: type[BaseModel], path: KeyPath) -> Expectation:
    """What the models say about the value at a path."""
    expected = Expectation(model)
    for step in path:
        plain = _without_none(expected.annotation)
        if _is_model(plain):
            known = plain.model_fields.get(str(step))
            if known is None:
                return Expectation(Any)
            expected = Expectation(known.annotation, tuple(known.metadata))
        elif get_origin(plain) is dict:
            expected = Expectation(get_args(plain)[1])
        elif get_origin(plain) in (tuple, list):
            expected = Expectation(get_args(plain)[0])
        else:
            return Expectation(Any)
    return expected


# -- pydantic's errors in our words ----------------------------------------------------------------------------------


def problems_of(error: ValidationError, model: type[BaseModel], tree: Tree) -> list[Problem]:
    """Every error of a validation as a problem with its place."""
    return [_problem(dict(details), model, tree) for details in error.errors(include_url=False)]


def _problem(details: dict[str, Any], model: type[BaseModel], tree: Tree) -> Problem:
    path: KeyPath = tuple(details["loc"])
    kind, value = details["type"], details.get("input")
    if kind == "extra_forbidden":
        section = _without_none(expectation_at(model, path[:-1]).annotation)
        known = sorted(section.model_fields) if _is_model(section) else []  # else its keys are free
        text = f"expected {one_of(known)}, got {str(path[-1])!r}{meant(str(path[-1]), known)}"
        return Problem(tree.key_place(path), path, text)
    if kind == "missing":
        return Problem(tree.key_place(path), path, f"expected {expectation_at(model, path)}, got nothing")
    if kind == "value_error":
        return _of_validator(str(details["ctx"]["error"]), path, tree)
    expected = expectation_at(model, path)
    text = f"expected {expected}, got {shown(value, path)}{meant(value, expected.choices)}"
    return tree.problem(path, text)


def _of_validator(text: str, path: KeyPath, tree: Tree) -> Problem:
    """A model's own check is about a whole section: point at the word that it quotes, if it occurs there once."""
    quoted = re.findall(r"'([^']+)'", text)[:1]
    known = text.partition("one of ")[2].split(", ")
    text += meant(quoted[0], known) if quoted else ""
    places = [place for below, place in tree.keys.items() if below[: len(path)] == path and [below[-1]] == quoted]
    if not places and quoted:
        places = [tree.values[below] for below in _paths_of(tree.data, quoted[0]) if below[: len(path)] == path]
    section = tree.place((*path, text.split(":", 1)[0])) if ":" in text else tree.place(path)
    return Problem(places[0] if len(places) == 1 else section, path, text)


def _paths_of(data: object, word: str, path: KeyPath = ()) -> Iterator[KeyPath]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, tuple) else ()
    for key, value in items:
        if value == word:
            yield (*path, key)
        yield from _paths_of(value, word, (*path, key))
