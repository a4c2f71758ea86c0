"""Which column plays which role: by its name first, by its values where names say nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ok_ml import columns as c
from ok_ml.datasets.onboarding.guess import words
from ok_ml.datasets.onboarding.guess.profiles import BOOLEAN, EMPTY, INTEGER, LIST, NUMBER, TEXT, TIME, Profile
from ok_ml.datasets.onboarding.guess.ratings import guess_rating, is_rating
from ok_ml.datasets.onboarding.guess.time_formats import KNOWN, TimeGuess, guess_time
from ok_ml.errors import DataError

_MOST_TYPES: Final = 40
_SMALL: Final = 2**31


@dataclass(frozen=True)
class Choice:
    """A column for a role.

    Attributes
    ----------
    why
        What speaks for it.
    doubt
        What is not certain; empty if its name is the word itself.
    """

    column: Profile
    why: str
    doubt: str = ""


@dataclass
class Roles:
    """What the columns of a log seem to be.

    Attributes
    ----------
    chosen
        canonical column -> the raw column.
    event_type
        The one canonical type of all rows, where no column says it.
    flag
        A column of 0 and 1 that says whether the shown thing was reacted to.
    rating
        A column of ratings, low and high, which is the event type too.
    weight, unique
        Columns of a strength, and of an id of the event itself.
    """

    time: TimeGuess
    chosen: dict[str, Choice] = field(default_factory=dict)
    event_type: str | None = None
    reactions: Profile | None = None
    flag: Profile | None = None
    rating: Profile | None = None
    weight: Profile | None = None
    unique: Profile | None = None
    unused: list[str] = field(default_factory=list)


def guess_roles(columns: list[Profile], file: str, timezone: str | None = None) -> Roles:
    """The role of each column.

    Raises
    ------
    DataError
        No column looks like a time, or none like a user or a source: this is no log of who did what when.
    """
    time = guess_time(columns, timezone)
    if time is None:
        raise _no_time(file, columns)
    roles = Roles(time)
    rest = [column for column in columns if column.name not in time.columns and column.kind not in (EMPTY, TIME)]
    rest = _take_special(roles, rest)
    rest = _take_entity(roles, rest, c.USER_ID)
    if c.USER_ID not in roles.chosen:
        raise _missing(file, columns, "a user", "recommendations are made for users")
    rest = _take_source(roles, rest)
    if c.SOURCE_ID not in roles.chosen:
        raise _missing(file, columns, "a source: what could be recommended", "there is nothing to recommend")
    if roles.rating is None and c.EVENT_TYPE not in roles.chosen and words.RATING_WORDS & set(words.tokens(file)):
        rest = _take_rating(roles, [*rest, *([roles.weight] if roles.weight else [])], named=True)
        roles.weight = None if roles.rating is roles.weight else roles.weight
    roles.unused = [column.name for column in rest if column is not roles.weight]
    if c.EVENT_TYPE not in roles.chosen:
        roles.event_type = _constant_type(roles, file)
    return roles


def _missing(file: str, columns: list[Profile], what: str, why: str) -> DataError:
    names = ", ".join(column.name for column in columns)
    return DataError(
        f"{file}: no column looks like {what} (columns: {names})",
        why=why,
        remedy="name a file with one row an event, or write the mapping by hand: see configs/datasets",
    )


def _no_time(file: str, columns: list[Profile]) -> DataError:
    """Says what the columns hold that are called a time."""
    called = [column for column in columns if words.name_score(column.name, words.TIME)]
    held = "; ".join(
        f"{column.name!r} holds {', '.join(value[:40] for value, _ in column.top[:3]) or 'nothing'}"
        for column in called[:3]
    )
    names = ", ".join(column.name for column in columns)
    return DataError(
        f"{file}: no column looks like a time (columns: {names}){f': {held}' if held else ''}",
        why="the system learns from some days and is judged by the days after them",
        remedy=f"name a file with one row an event and its time, or write `time` by hand in configs/datasets: {KNOWN}",
    )


# -- everything but user, source and item ----------------------------------------------------------------------------


def _take_special(roles: Roles, columns: list[Profile]) -> list[Profile]:
    """Event type, reactions, position, content type, duration, weight and event id; returns the other columns."""
    rest = list(columns)

    def take(score: Callable[[Profile], float]) -> Profile | None:
        best = max(rest, key=score, default=None)
        if best is None or score(best) <= 0:
            return None
        rest.remove(best)
        return best

    roles.reactions = take(lambda p: words.name_score(p.name, words.REACTIONS) * (p.kind in (LIST, TEXT)))
    if roles.reactions is None:
        roles.reactions = take(lambda p: float(p.kind == LIST))
    scores: tuple[tuple[str, Callable[[Profile], float]], ...] = (
        (c.EVENT_TYPE, _is_event_type),
        (
            c.CONTENT_TYPE,
            lambda p: words.name_score(p.name, c.CONTENT_TYPE) * (p.kind == TEXT and p.distinct <= _MOST_TYPES),
        ),
        (
            c.POSITION,
            lambda p: words.name_score(p.name, c.POSITION) * _is_below(p, 10_000, least=0) * (not words.is_id(p.name)),
        ),
        (c.DURATION_MS, lambda p: words.name_score(p.name, c.DURATION_MS) * _is_below(p, _SMALL)),
    )
    for role, score in scores:
        if (taken := take(score)) is not None:
            roles.chosen[role] = Choice(taken, *_why_special(taken, role))
    if roles.reactions is None and c.EVENT_TYPE not in roles.chosen:
        roles.flag = take(_is_flag)
    if roles.reactions is None and roles.flag is None and c.EVENT_TYPE not in roles.chosen:
        rest = _take_rating(roles, rest, named=False)
    roles.weight = take(
        lambda p: words.name_score(p.name, words.WEIGHT) * (p.kind in (INTEGER, NUMBER)) * (not words.is_id(p.name))
    )
    roles.unique = take(lambda p: words.name_score(p.name, words.UNIQUE) * (p.nulls == 0 and p.distinct > 0.9 * p.rows))
    return rest


def _take_rating(roles: Roles, columns: list[Profile], *, named: bool) -> list[Profile]:
    """Take the column of ratings; `named` if the file says that it holds some."""
    best = max(columns, key=lambda column: is_rating(column, named=named), default=None)
    if best is None or not is_rating(best, named=named):
        return columns
    roles.rating = best
    roles.chosen[c.EVENT_TYPE] = Choice(best, guess_rating(best).why)
    return [column for column in columns if column is not best]


def _why_special(column: Profile, role: str) -> tuple[str, str]:
    if role != c.EVENT_TYPE:
        return "by its name", ""
    known = sum(count for value, count in column.top if words.event_type_of(value))
    doubt = "" if known > 0.5 * column.filled else "few of its words are known"
    return f"{column.distinct} words", doubt


def _is_event_type(column: Profile) -> float:
    if column.kind not in (TEXT, BOOLEAN) or not 1 <= column.distinct <= _MOST_TYPES or column.per_value < 2:
        return 0.0
    known = sum(count for value, count in column.top if words.event_type_of(value)) / max(column.filled, 1)
    named = words.name_score(column.name, c.EVENT_TYPE)
    if words.name_score(column.name, c.CONTENT_TYPE) and known < 0.5:
        return 0.0
    return 4.0 * known + (named if known >= 0.2 or named > 3.2 else 0.0)


def _is_below(column: Profile, end: int, *, least: int = -_SMALL) -> bool:
    values = column.integers
    return column.kind == INTEGER and len(values) > 0 and bool(values.min() >= least and values.max() < end)


def _is_flag(column: Profile) -> float:
    values = {value for value, _ in column.top}
    named = [word for word in words.tokens(column.name) if word in words.FLAG_WORDS]
    return float(bool(named) and column.distinct == 2 and values in ({"0", "1"}, {"true", "false"}))


# -- user, source, item ----------------------------------------------------------------------------------------------


def _take_entity(roles: Roles, columns: list[Profile], role: str) -> list[Profile]:
    candidates = [column for column in columns if _could_be_id(column)]
    best = max(candidates, key=lambda column: _entity_score(column, role), default=None)
    if best is None:
        return columns
    roles.chosen[role] = Choice(best, *_why_entity(best, role))
    return [column for column in columns if column is not best]


def _take_source(roles: Roles, columns: list[Profile]) -> list[Profile]:
    """Source and item; a log that names only one kind of thing recommends that kind."""
    candidates = [column for column in columns if _could_be_id(column)]
    named = {
        role: [column for column in candidates if words.name_score(column.name, role)]
        for role in (c.SOURCE_ID, c.ITEM_ID)
    }
    if not named[c.SOURCE_ID] and named[c.ITEM_ID]:
        rest = _take_entity(roles, columns, c.ITEM_ID)
        item = roles.chosen[c.ITEM_ID]
        roles.chosen[c.SOURCE_ID] = Choice(
            item.column, item.why, item.doubt or "no column names an owner, so the item itself is the source"
        )
        return rest
    rest = _take_entity(roles, columns, c.SOURCE_ID)
    if any(column in rest for column in named[c.ITEM_ID]):
        rest = _take_entity(roles, rest, c.ITEM_ID)
    return rest


def _could_be_id(column: Profile) -> bool:
    if column.kind == INTEGER:
        return column.distinct >= 1
    return column.kind == TEXT and column.length <= 64


def _entity_score(column: Profile, role: str) -> float:
    score = 2.0 * words.name_score(column.name, role) + words.is_id(column.name)
    if column.distinct <= 1:
        score -= 5.0
    if column.per_value >= 1.5:
        score += 1.0
    if role != c.ITEM_ID and column.filled > 20 and column.distinct > 0.95 * column.filled:
        score -= 3.0
    return score - 2.0 * column.nulls / max(column.rows, 1) + min(column.distinct, 10_000) / 100_000


def _why_entity(column: Profile, role: str) -> tuple[str, str]:
    values = f"{column.distinct:,} values, {column.per_value:.1f} rows each"
    if words.name_score(column.name, role):
        return f"by its name; {values}", ""
    return values, "nothing in its name says so"


# -- the type of all rows --------------------------------------------------------------------------------------------


def _constant_type(roles: Roles, file: str) -> str:
    if roles.reactions is not None or roles.flag is not None:
        return c.IMPRESSION
    names: Iterable[str] = [file, *roles.unused, *(choice.column.name for choice in roles.chosen.values())]
    said = {word for name in names for word in words.tokens(name)}
    if said & words.PURCHASE_WORDS:
        return c.PURCHASE
    if said & words.TAG_WORDS:
        return c.TAG
    return c.LIKE if said & words.LIKE_WORDS or roles.weight is not None else c.CLICK
