"""A guessed mapping as the text of configs/datasets/NAME.yml, with the reasons, and a first experiment."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.conversion.listed_reactions import listed_items
from ok_ml.datasets.conversion.markers import condition
from ok_ml.datasets.onboarding.guess import words
from ok_ml.datasets.onboarding.guess.profiles import INTEGER, Profile
from ok_ml.datasets.onboarding.guess.ratings import RatingGuess, guess_rating
from ok_ml.datasets.onboarding.guess.roles import Roles
from ok_ml.datasets.onboarding.guess.samples import Sample

_PLAIN: Final = re.compile(r"[A-Za-z_/][\w/-]*(?:\.[\w/-]+)*")
_WORDS_OF_YAML: Final = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_WEIGHTS: Final = {c.CLICK: 1, c.LIKE: 2, c.COMMENT: 3, c.SHARE: 3, c.SUBSCRIBE: 4, c.PURCHASE: 3, c.TAG: 1}
_GRADES: Final = {c.CLICK: 1, c.LIKE: 2, c.COMMENT: 3, c.SHARE: 3, c.SUBSCRIBE: 4, c.PURCHASE: 3, c.TAG: 2}
_COMMENT_AT: Final = 44
_ORDER: Final = (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE, c.POSITION, c.CONTENT_TYPE, c.DURATION_MS)
_ID_COLUMNS: Final = (c.USER_ID, c.SOURCE_ID, c.ITEM_ID)


@dataclass(frozen=True)
class Proposal:
    """A mapping, as a file and as what the file says.

    Attributes
    ----------
    doubts
        What a person should decide, a sentence each.
    """

    text: str
    config: DatasetConfig
    doubts: tuple[str, ...]


def propose(name: str, path: str, sample: Sample, roles: Roles, rows: int, grain: str = "day") -> Proposal:
    """The mapping that reads a log.

    Parameters
    ----------
    path
        As `events.path` shall have it.
    rows
        How many rows the guess is made from.
    grain
        Length of a partition.
    """
    draft = _Draft(name, path, sample, roles, grain)
    text = draft.text(rows)
    return Proposal(text, _parsed(text), tuple(draft.doubts))


def _parsed(text: str) -> DatasetConfig:
    from ruamel.yaml import YAML

    return DatasetConfig.model_validate(YAML(typ="safe").load(text))


def scalar(value: object) -> str:
    """A value as YAML, quoted where it must be."""
    text = str(value)
    if isinstance(value, str) and not (_PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML):
        return orjson.dumps(text).decode().replace("\x7f", "\\u007f").replace("\x85", "\\u0085")
    return text if isinstance(value, str) else orjson.dumps(value).decode()


def flow(values: dict[str, Any]) -> str:
    """A mapping on one line."""
    return "{" + ", ".join(f"{scalar(key)}: {_value(value)}" for key, value in values.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    return "null" if value is None else scalar(value)


class _Draft:
    """The lines of one file, and the doubts that come up while they are written."""

    def __init__(self, name: str, path: str, sample: Sample, roles: Roles, grain: str) -> None:
        self._name, self._path, self._sample, self._roles, self._grain = name, path, sample, roles, grain
        self.doubts: list[str] = [f"{name}: {doubt}" for name, doubt in sample.doubts.items()] + list(roles.time.doubts)
        self._rating = None if roles.rating is None else guess_rating(roles.rating)
        self._lists_types = self._rating is None or bool(self._rating.event_types)
        self._types = self._event_types()

    def text(self, rows: int) -> str:
        kinds = {name for name in self._types.values() if name in _WEIGHTS} or {c.CLICK}
        lines = [
            f"# Guessed from {rows:,} rows. A remark with a question mark is for you to decide.",
            f"dataset: {self._name}",
            f"description: {scalar('The log ' + self._path)}",
            "owners: [data@example.org]",
            self._partition(),
            "events:",
            *self._file(),
            *self._columns(),
            *self._time(),
            *self._types_lines(),
            *self._more(),
            *self._sources(),
            *self._subscription({*kinds, *({c.HIDE} & set(self._types.values()))}),
            f"weights: {flow({name: _WEIGHTS[name] for name in _WEIGHTS if name in kinds})}",
            f"grades: {flow({name: _GRADES[name] for name in _GRADES if name in kinds})}",
        ]
        return "\n".join(lines) + "\n"

    def _partition(self) -> str:
        if self._grain == "day":
            text = "a last day that the log does not hold whole waits"
            return _remark("partition: {partial_last_day: leave_out}", text)
        text = "its dates are the first of a month: the day is not known"
        return _remark(f"partition: {{grain: {self._grain}}}", text)

    def _file(self) -> list[str]:
        shape, lines = self._sample.shape, [f"  path: {scalar(self._path)}"]
        for name, value in shape.items():
            why, doubt = self._sample.remarks.get(name), self._sample.doubts.get(name)
            remark = "; ".join(filter(None, (why, doubt and f"{doubt}?")))
            lines.append(_remark(f"  {name}: {_value(value)}", remark) if remark else f"  {name}: {_value(value)}")
        return lines

    def _columns(self) -> list[str]:
        lines, texts = ["  columns:"], []
        for role in _ORDER:
            choice = self._roles.chosen.get(role) if role != c.EVENT_TYPE or self._lists_types else None
            if choice is None and role == c.ITEM_ID:
                choice = self._roles.chosen[c.SOURCE_ID]
                lines.append(_remark(f"    {role}: {scalar(choice.column.name)}", "the source again: no item is named"))
            elif choice is not None:
                remark = choice.why + (f"; {choice.doubt}?" if choice.doubt else "")
                lines.append(_remark(f"    {role}: {scalar(choice.column.name)}", remark))
                if choice.doubt:
                    self.doubts.append(f"{role} is {choice.column.name!r}: {choice.doubt}")
            if choice is not None and role in _ID_COLUMNS and choice.column.is_text_id:
                texts.append(role)
        return [*lines, *([f"  hash_ids: {_value(texts)}"] if texts else []), *self._spelling(texts), *self._nobodies()]

    def _spelling(self, texts: Sequence[str]) -> list[str]:
        """How ids are spelt, where that is not one way."""
        columns = {role: choice.column for role in _ID_COLUMNS if (choice := self._roles.chosen.get(role)) is not None}
        spelt = {role: columns[role].spelling or "" for role in texts if role in columns and columns[role].spelling}
        for role, column in columns.items():
            if role not in texts and column.padded:
                doubt = f"{column.name!r} has numbers with and without leading zeros: they are one id here"
            elif role in texts and column.kind == INTEGER:
                doubt = f"{column.name!r} has leading zeros, which matter: its ids are texts"
            else:
                continue
            self.doubts.append(doubt)
        return [_remark(f"  id_spelling: {flow(spelt)}", "the same ids are spelt in several ways?")] if spelt else []

    def _nobodies(self) -> list[str]:
        """Conditions that set aside what programs write for no user and no source."""
        conditions: dict[str, Any] = {}
        for role, reason in ((c.USER_ID, "nobody"), (c.SOURCE_ID, "no_source")):
            column = self._roles.chosen[role].column
            for kind in (str, int):
                certain = (value for one in column.markers if one.certain for value in one.values)
                if values := [value for value in certain if isinstance(value, kind)]:
                    conditions[f"{reason}_number" if kind is int else reason] = condition(column.name, values)
            if doubtful := [f"{one.values[0]} ({one.events:,} rows)" for one in column.markers if not one.certain]:
                self.doubts.append(f"{role}: {', '.join(doubtful[:5])} could mean no user, or be a real name: it stays")
        remark = "what programs write for no user and no source?"
        return [_remark(f"  drop_if: {flow(conditions)}", remark)] if conditions else []

    def _time(self) -> list[str]:
        time = self._roles.time
        said: dict[str, Any] = {"columns": list(time.columns)}
        if time.format != "auto":
            said["format"] = time.format
        if time.origin is not None:
            said["origin"] = time.origin
        if not time.has_zone:
            said["timezone"] = time.timezone
        return [_remark(f"  time: {flow(said)}", "; ".join([time.why, *(f"{doubt}?" for doubt in time.doubts)]))]

    def _event_types(self) -> dict[str, str]:
        choice = self._roles.chosen.get(c.EVENT_TYPE)
        event_types: dict[str, str] = {}
        if self._rating is not None:
            return self._rating.event_types or {"": c.LIKE}
        if choice is not None:
            event_types = _known_types(choice.column)
        elif self._roles.event_type is not None:
            event_types = {"": self._roles.event_type}
        reactions = {item: name for item, name in self._reaction_types().items() if name is not None}
        return event_types | reactions

    def _reaction_types(self) -> dict[str, str | None]:
        if self._roles.flag is not None:
            named = words.tokens(self._roles.flag.name)
            meant = next(words.FLAG_WORDS[word] for word in named if word in words.FLAG_WORDS)
            return {value: meant if value in ("1", "true") else None for value, _ in self._roles.flag.top}
        if self._roles.reactions is None:
            return {}
        items = listed_items(self._roles.reactions.column)
        return {item: words.event_type_of(item) for item in items}

    def _rating_lines(self, rating: RatingGuess, column: str) -> list[str]:
        self.doubts.append(f"{column!r}: {rating.why}")
        if rating.event_types:
            remark = "the threshold of ratings is yours to decide?"
            return [_remark(f"  event_types: {flow(rating.event_types)}", remark)]
        quoted = f"`{column}`" if "`" not in column else column
        return [
            f"  constants: {flow({c.EVENT_TYPE: c.LIKE})}",
            _remark(f"  drop_if: {flow({'low_rating': f'{quoted} < {rating.threshold}'})}", f"{rating.why}?"),
        ]

    def _types_lines(self) -> list[str]:
        if self._rating is not None and self._roles.rating is not None:
            return self._rating_lines(self._rating, self._roles.rating.name)
        choice = self._roles.chosen.get(c.EVENT_TYPE)
        if choice is None:
            self.doubts.append(f"no column says what happened: every row counts as {self._roles.event_type}")
            constant = flow({c.EVENT_TYPE: self._roles.event_type})
            return [_remark(f"  constants: {constant}", "no column says what happened?")]
        known = _known_types(choice.column)
        unknown = [f"{value} ({count:,} rows)" for value, count in choice.column.top if value not in known]
        if unknown:
            self.doubts.append(f"event types without a meaning here are set aside: {', '.join(unknown[:8])}")
        remark = f"not mapped, so set aside: {_shown(', '.join(unknown[:5]))}?" if unknown else "by their words?"
        first = choice.column.top[0][0]
        return [_remark(f"  event_types: {flow(known or {first: c.CLICK})}", remark)]

    def _more(self) -> list[str]:
        lines, roles = [], self._roles
        column = roles.reactions or roles.flag
        if column is not None:
            lines.append(f"  reactions: {{column: {scalar(column.name)}, event_types: {flow(self._reaction_types())}}}")
        if roles.unique is not None:
            unique = _value([roles.unique.name])
            lines.append(_remark(f"  unique_by: {unique}", "an id of the event: repeated rows count once"))
        if roles.weight is not None:
            self.doubts.append(f"{roles.weight.name!r} is a strength, which is not read: weights go by event type")
            remark = "weights go by event type; drop_if can use it?"
            lines.append(_remark(f"  # {_shown(roles.weight.name)} is not read", remark))
        if roles.unused:
            lines.append(f"  # not read: {_shown(', '.join(roles.unused))}")
        return lines

    def _sources(self) -> list[str]:
        """The names behind hashed ids; only of undated paths: a dated snapshot would hold the sources of one day."""
        source = self._roles.chosen[c.SOURCE_ID].column
        if not source.is_text_id or "{dt}" in self._path:
            return []
        column = scalar(source.name)
        return [
            _remark("sources:", "their names, for people; one is known from the day on which it is first seen"),
            *self._file(),
            f"  columns: {{{c.SOURCE_ID}: {column}, {c.NAME}: {column}}}",
            f"  hash_ids: [{c.SOURCE_ID}]",
            *([f"  id_spelling: {{{c.SOURCE_ID}: {source.spelling}}}"] if source.spelling else []),
        ]

    def _subscription(self, kinds: set[str]) -> list[str]:
        shown = c.IMPRESSION in self._types.values()
        lines = [f"has_impressions: {'true' if shown else 'false'}"]
        if not shown and c.SUBSCRIBE not in kinds:
            remark = "who has met a source needs no recommendation of it"
            lines.insert(0, _remark(f"subscription: {{event_types: {_value(sorted(kinds))}}}", remark))
        return lines


def _known_types(column: Profile) -> dict[str, str]:
    """Value -> the event type that its words mean, of the values that mean one."""
    return {value: name for value, _ in column.top if (name := words.event_type_of(value)) is not None}


def _remark(line: str, remark: str) -> str:
    return f"{line.ljust(_COMMENT_AT)}  # {_shown(remark)}"


def _shown(text: str) -> str:
    """A text that cannot leave its comment."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= 160 else plain[:157] + "..."
