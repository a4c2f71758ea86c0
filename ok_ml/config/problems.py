"""What is wrong with a configuration, where, and what was probably meant."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from ok_ml.config.sections.frozen import KeyPath
from ok_ml.errors import ConfigError

_SECRET_WORDS: Final = ("password", "secret", "token", "credential")
_LONGEST_VALUE: Final = 40


@dataclass(frozen=True, order=True)
class Place:
    """A spot in a file; `layer` names the overlay that it belongs to, if any."""

    file: str
    line: int
    column: int
    layer: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def within(self, layer: str) -> "Place":
        """The same spot as a part of an overlay."""
        return replace(self, layer=layer)


BUILT_IN: Final = Place("(built in)", 0, 0)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `file:line:col: key.path: text`."""

    place: Place
    path: KeyPath
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {dotted(self.path)}: {self.text}" if self.path else f"{self.place}: {self.text}"


def dotted(path: KeyPath) -> str:
    """A path as people write it: `stages.model.num_trees`, `incidents[2].kind`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """One error that lists every problem once, in the order of files and lines."""
    lines = [str(problem) for problem in in_order(problems)]
    count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''} in the configuration"
    return ConfigError(
        "\n".join([f"{count}:", *(f"  {line}" for line in lines)]),
        why="nothing was started: a run with a misread parameter costs more than this message",
        remedy="correct these lines; `ok-ml validate` checks again",
        problems=tuple(lines),
    )


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, sorted by file and line."""
    unique = {(one.place.file, one.place.line, one.place.column, one.text, one.path): one for one in problems}
    return [unique[key] for key in sorted(unique, key=lambda key: key[:4])]


# -- words ---------------------------------------------------------------------------------------------------------


def meant(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known word, or nothing."""
    from difflib import get_close_matches

    if not isinstance(word, str):
        return ""
    by_lower = {name.lower(): name for name in known}
    matches = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[matches[0]]!r}?" if matches else ""


def one_of(words: Iterable[str]) -> str:
    """`one of a, b, c`, or `nothing` for no word."""
    listed = sorted(words)
    return f"one of {', '.join(listed)}" if listed else "nothing"


def is_secret(path: KeyPath) -> bool:
    """Whether a key looks as if its value must not be shown; keys that name a variable are no secret."""
    last = str(path[-1]).lower() if path else ""
    return any(word in last for word in _SECRET_WORDS) and not last.endswith("_env")


def shown(value: object, path: KeyPath = ()) -> str:
    """A value and its kind in words, cut short, secrets hidden."""
    if isinstance(value, dict):
        return f"a section ({', '.join(list(map(str, value))[:4])})" if value else "an empty section"
    if isinstance(value, tuple | list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    return "a hidden value" if is_secret(path) else _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return repr(text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "...") + " (text)"
