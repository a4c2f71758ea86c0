"""The strptime formats that a text could be written in, made from its pieces: no list of formats could be complete."""

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Final

_CLOCK: Final = re.compile(
    r"(?<!\d)\d{1,2}:\d\d(?P<seconds>:\d\d)?(?P<parts>[.,]\d{1,9})?(?!\d)(?P<half>\s?[AaPp]\.?[Mm]\b)?"
    r"|(?<=[ _-])\d\d\.\d\d(?P<dotted>\.\d\d)(?P<dotted_parts>\.\d{1,9})?(?!\d)(?P<dotted_half>\s?[AaPp][Mm]\b)?"
)
_PIECE: Final = re.compile(r"%[A-Za-z]|\d+|[^\W\d_]+|.", re.DOTALL)
_OFFSET: Final = re.compile(r"(?<=[%\w\]])(\s?)[+-]\d\d:?\d\d(?=\W*$|\s+\d{4}$)")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_COMPACT: Final = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 8: "%Y%m%d"}


def formats_of(text: str) -> list[str]:
    """Formats that may read a text, those in use somewhere first; none if it looks like no time."""
    pattern = _with_clock(" ".join(text.split()))
    pieces = _PIECE.findall(pattern)
    slots: list[int] = []
    year = month = None
    for place, piece in enumerate(pieces):
        before = pieces[place - 1] if place else ""
        if piece.isdigit() and len(piece) in _COMPACT and year is None:
            pieces[place], year = _COMPACT[len(piece)], place
            slots = [-1]  # days and months are said
        elif piece.isdigit() and slots == [-1] and len(piece) in (4, 6):
            pieces[place] = "%H%M%S"[: len(piece)]
        elif piece.isdigit() and len(piece) == 4 and year is None:
            pieces[place], year = "%Y", place
        elif piece.isdigit() and len(piece) <= 2:
            slots.append(place)
        elif piece[:3].lower() in _MONTHS and month is None:
            pieces[place], month = ("%b" if len(piece) == 3 else "%B"), place
        elif piece[:3].lower() in _WEEKDAYS:
            pieces[place] = "%a" if len(piece) == 3 else "%A"
        elif piece.isdigit() or (piece.isalpha() and not _is_literal(piece, before)):
            return []
    return [] if slots == [-1] and month is not None else list(_filled(pieces, slots, year, month))


def _is_literal(piece: str, before: str) -> bool:
    """A letter that parts day and clock, or the name of the zone UTC."""
    return piece in ("T", "Z", "UTC", "GMT", "at", "de", "of", "th", "st", "nd", "rd") and bool(before)


def _with_clock(text: str) -> str:
    """The text with its clock and its offset from UTC as directives."""
    match = _CLOCK.search(text, 5)
    if match is None:
        return text
    dotted = match["dotted"] is not None
    mark, half = (".", match["dotted_half"]) if dotted else (":", match["half"])
    parts, seconds = (match["dotted_parts"], match["dotted"]) if dotted else (match["parts"], match["seconds"])
    clock = f"{'%I' if half else '%H'}{mark}%M" + (f"{mark}%S" if seconds else "") + (f"{parts[0]}%f" if parts else "")
    clock += f"{' ' if half[0].isspace() else ''}%p" if half else ""
    return _OFFSET.sub(r"\1%z", text[: match.start()] + clock + text[match.end() :])


def _filled(pieces: list[str], slots: list[int], year: int | None, month: int | None) -> Iterator[str]:
    """The pieces with a directive in every slot, in each order of day, month and year that people write."""
    if slots == [-1]:
        yield "".join(pieces)
        return
    wanted = [letter for letter, known in (("d", None), ("m", month), ("y", year)) if known is None]
    if len(slots) != len(wanted):
        return
    orders = [order for order in permutations(wanted) if _is_written(order, year, slots)]
    for order in orders:
        chosen = list(pieces)
        for place, letter in zip(slots, order, strict=True):
            chosen[place] = f"%{letter}"
        yield "".join(chosen)


def _is_written(order: tuple[str, ...], year: int | None, slots: list[int]) -> bool:
    """Day, month, year; month, day, year; and year, month, day."""
    if year is not None and year < slots[0]:
        return order != ("d", "m")
    return order in (
        ("d", "m", "y"),
        ("m", "d", "y"),
        ("y", "m", "d"),
        ("d", "m"),
        ("m", "d"),
        ("d",),
        ("d", "y"),
        ("y", "d"),
    )
