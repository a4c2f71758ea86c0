"""YAML files as plain values that remember where each of them was written."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ok_ml.config.problems import BUILT_IN, Place, Problem
from ok_ml.config.sections.frozen import KeyPath

_TAG: Final = "tag:yaml.org,2002:"
_DEEPEST: Final = 20  # levels; a file that says "this section is part of itself" would never end


@dataclass
class Tree:
    """The values of one YAML file, or of several laid over one another.

    Attributes
    ----------
    data
        Sections as dicts, lists as tuples, scalars as YAML 1.2 reads them; dates stay text.
    keys, values
        Where each key and each value stands, by its path from the top.
    """

    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where the value of a path stands, or the nearest section around it."""
        around = (path[:length] for length in range(len(path), -1, -1))
        return next((self.values[one] for one in around if one in self.values), BUILT_IN)

    def key_place(self, path: KeyPath) -> Place:
        """Where the key of a path stands, or the nearest key around it."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self.keys[one] for one in around if one in self.keys), self.place(()))

    def problem(self, path: KeyPath, text: str) -> Problem:
        """Something that is wrong with the value of a path."""
        return Problem(self.place(path), path, text)

    def take(self, key: str) -> "Tree":
        """Remove a section and return it as a tree of its own; empty if it is not there or is no section."""
        section = self.data.pop(key, None)
        taken = Tree(section if isinstance(section, dict) else {})
        for places, target in ((self.keys, taken.keys), (self.values, taken.values)):
            for path in [path for path in places if path[:1] == (key,)]:
                target[path[1:]] = places.pop(path)
        return taken

    def section(self, key: str) -> "Tree":
        """A copy of one section as a tree of its own."""
        return Tree(dict(self.data), dict(self.keys), dict(self.values)).take(key)


def laid_over(base: Tree, top: Tree, *, layer: str | None = None) -> Tree:
    """`base` with the values of `top` instead of its own; sections merge, everything else is replaced.

    Parameters
    ----------
    layer
        A name that the places of `top` carry from now on, for example "size tiny".
    """
    merged = Tree(base.data, dict(base.keys), dict(base.values))
    merged.data = _merge(base.data, top.data, (), merged)
    for places, target in ((top.keys, merged.keys), (top.values, merged.values)):
        for path, place in places.items():
            if path:
                target[path] = place if layer is None else place.within(layer)
    return merged


def _merge(base: dict[str, Any], top: dict[str, Any], path: KeyPath, merged: Tree) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        below = (*path, key)
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merge(result[key], value, below, merged)
            continue
        for places in (merged.keys, merged.values):
            for stale in [known for known in places if known[: len(below)] == below]:
                del places[stale]
        result[key] = value
    return result


def read_document(path: Path, name: str) -> tuple[Tree, list[Problem]]:
    """Read one YAML file.

    Parameters
    ----------
    name
        What messages call the file: its path below the project.

    Returns
    -------
    The tree, as far as it could be read, and every problem found: encoding, syntax, duplicate keys, odd tags.
    """
    tree = Tree()
    tree.values[()] = Place(name, 1, 1)
    try:
        root = YAML(typ="safe", pure=True).compose(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        return tree, [_syntax(error, name)]
    except (YAMLError, UnicodeDecodeError) as error:
        return tree, [Problem(Place(name, 1, 1), (), f"expected YAML in UTF-8, got {str(error).splitlines()[0]}")]
    except OSError as error:
        return tree, [Problem(Place(name, 1, 1), (), f"expected a readable file, got: {error.strerror}")]
    if not isinstance(root, MappingNode):
        return tree, [Problem(Place(name, 1, 1), (), "expected keys and values, got " + _kind(root))]
    problems: list[Problem] = []
    value = _Reader(name, tree, problems).read(root, ())
    tree.data = value if isinstance(value, dict) else {}
    return tree, problems


def _syntax(error: MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(name, mark.line + 1, mark.column + 1) if mark is not None else Place(name, 1, 1)
    told = " ".join(str(part).strip() for part in (error.context, error.problem) if part)
    return Problem(place, (), f"expected valid YAML, got: {told}")


def _kind(node: Node | None) -> str:
    if node is None:
        return "an empty file"
    return "a list" if isinstance(node, SequenceNode) else f"{node.value!r}"


class _Reader:
    """Turns composed nodes into plain values, recording places and problems as it goes."""

    def __init__(self, name: str, tree: Tree, problems: list[Problem]) -> None:
        self.name, self.tree, self.problems = name, tree, problems

    def read(self, node: Node, path: KeyPath) -> Any:
        """The value of a node."""
        self.tree.values[path] = self._place(node)
        if len(path) > _DEEPEST:
            self._report(
                node, path, f"expected at most {_DEEPEST} levels, got a section that goes deeper or contains itself"
            )
            return None
        if isinstance(node, MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, SequenceNode):
            return tuple(self.read(item, (*path, index)) for index, item in enumerate(node.value))
        return self._scalar(node, path)

    def _pairs(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, Node]]:
        seen: dict[str, Node] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, ScalarNode):
                self._report(key_node, path, "expected a key of plain text, got a list or a section as key")
                continue
            key = str(key_node.value)
            if key in seen:
                first = self._place(seen[key])
                self._report(
                    key_node, (*path, key), f"expected each key once, got it again (first in line {first.line})"
                )
                continue
            seen[key] = key_node
            self.tree.keys[(*path, key)] = self._place(key_node)
            yield key, value
            if value.value == "":  # YAML has an empty value begin at the next word, lines below
                self.tree.values[(*path, key)] = self._place(key_node)

    def _scalar(self, node: Node, path: KeyPath) -> Any:
        kind, text = str(node.tag).removeprefix(_TAG), str(node.value)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return _whole_number(text)
        if kind == "float":
            return _number(text)
        if kind not in {"str", "timestamp"}:
            self._report(node, path, f"expected a plain value, got one with the tag {node.tag}")
        return text

    def _place(self, node: Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _report(self, node: Node, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(self._place(node), path, text))


def _whole_number(text: str) -> int:
    plain = text.replace("_", "").lower()
    digits = plain.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    return int(plain, base)


def _number(text: str) -> float:
    plain = text.replace("_", "").lower()
    if plain.endswith(".inf"):
        return -math.inf if plain.startswith("-") else math.inf
    return math.nan if plain == ".nan" else float(plain)
