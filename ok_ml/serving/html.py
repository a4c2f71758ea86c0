"""HTML from nested calls. Text and attribute values are always escaped; only what `tag` made is taken as it is."""

import re
from html import escape
from typing import Final

_VOID: Final = frozenset({"input", "link", "meta", "img", "br", "wbr"})


class Markup(str):
    """HTML that is safe to show."""

    __slots__ = ()


Content = str | int | float | None


def tag(name: str, /, *children: Content, **attributes: Content) -> Markup:
    """An element. An underscore at the end of an attribute is dropped, others become dashes; None leaves it out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Content) -> Markup:
    """Several pieces one after the other; plain text is escaped, None is nothing."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children if child is not None)
    )


def breakable(text: str) -> Markup:
    """A long name that may break after slashes, colons and underscores, and nowhere else."""
    pieces = re.split(r"(?<=[/:_])(?=.)", text)
    return join(*[part for piece in pieces for part in (piece, tag("wbr"))][:-1])
