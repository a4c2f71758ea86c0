"""Reading requests: ids, bodies and parameters, with a cap on each."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from ok_ml.serving.problems import Problem

MAX_IDS: Final = 1_000
MAX_BODY_BYTES: Final = 64 * 1024
MAX_N: Final = 100
MAX_QUERY_CHARACTERS: Final = 2_048
_INT64: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_MIN, _MAX = -(2**63), 2**63 - 1
_BODY_KEYS: Final = ("entity_ids", "n")


def entity_id(text: str) -> int:
    """An int64 id from its decimal text. Raises Problem 400 for anything else."""
    if _INT64.fullmatch(text):
        value = int(text)
        if _MIN <= value <= _MAX:
            return value
    raise Problem(
        400,
        f"{_shown(text)} is not an entity id: a whole number that fits 64 bits, in decimal digits, is expected",
        why="a near miss would be answered with the list for users without history, as if it were right",
        remedy="send the id as it stands in the log, without spaces, signs or leading zeros",
    )


def parameters(query_string: str, allowed: Iterable[str]) -> dict[str, str]:
    """The query's parameters; a parameter that is not offered is an error, not a silence."""
    if len(query_string) > MAX_QUERY_CHARACTERS:
        raise Problem(
            413, f"the query has {len(query_string):,} characters", remedy=f"send at most {MAX_QUERY_CHARACTERS:,}"
        )
    given = dict(parse_qsl(query_string, keep_blank_values=True))
    refuse_unknown("parameter", given, tuple(allowed))
    return given


def refuse_unknown(what: str, given: Iterable[str], allowed: tuple[str, ...]) -> None:
    """Raise Problem 400 for the first name that is not allowed, with a guess at what was meant."""
    for name in given:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, 1)
            offered = f"did you mean {close[0]!r}?" if close else f"offered: {', '.join(allowed) or 'none'}"
            raise Problem(400, f"unknown {what} {_shown(name)}; {offered}", remedy="see /docs")


def list_length(value: Any) -> int | None:
    """The wished length `n` of a list, 1..100, from text or JSON; None if it was not given."""
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(value)
    if not isinstance(value, bool) and re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII) and int(text) <= MAX_N:
        return int(text)
    raise Problem(
        400,
        f"n is {_shown(text)}; a whole number from 1 to {MAX_N} is expected",
        remedy="leave n out for the whole list",
    )


def batch(body: bytes) -> tuple[list[int], int | None]:
    """Entity ids and `n` from the body of a batch request.

    Raises
    ------
    Problem
        400 for what is not the expected JSON, 413 for more than 1,000 ids.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}", remedy='send {"entity_ids": ["1", "2"]}') from None
    if not isinstance(value, dict) or not isinstance(value.get("entity_ids"), list):
        raise Problem(
            400,
            "the body has no list `entity_ids`",
            why="a batch request names the entities whose lists it wants",
            remedy='send {"entity_ids": ["1", "2"]}',
        )
    refuse_unknown("member", value, _BODY_KEYS)
    ids = value["entity_ids"]
    if len(ids) > MAX_IDS:
        raise Problem(
            413,
            f"{len(ids):,} ids in one request; at most {MAX_IDS:,} are answered",
            why="a request is answered whole, from one generation, before the next one is looked at",
            remedy=f"send batches of {MAX_IDS:,}",
        )
    return [_id_of_json(found) for found in ids], list_length(value.get("n"))


def _id_of_json(value: Any) -> int:
    if isinstance(value, str):
        return entity_id(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return entity_id(str(value))
    return entity_id(repr(value))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
