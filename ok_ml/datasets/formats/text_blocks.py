"""Text files as blocks of whole lines in UTF-8, in bounded memory.

What is a line, and which of them are readable, does not depend on the size of the blocks: a line is what ends in a line
feed (in a carriage return, in a file without any line feed), and it is unreadable if its bytes are no text in the declared
encoding, or if it is longer than `LINE_LIMIT_BYTES`.
"""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

import pyarrow as pa

LINE_LIMIT_BYTES: Final = 1 << 24
_SHOWN_BYTES: Final = 1 << 12  # of a line that is too long
_PEEK_BYTES: Final = 1 << 16
_WIDE: Final = ("utf-16", "utf-32")  # encodings in which a byte 10 may be a part of another character
_BOM: Final = codecs.BOM_UTF8


@dataclass(frozen=True)
class TextBlock:
    r"""Some lines of a file.

    Attributes
    ----------
    text
        The readable lines in their order, UTF-8, each with its end.
    broken
        The other ones, the bytes that are no text as escapes: ``caf\xe9``.
    """

    text: bytes
    broken: tuple[str, ...] = ()


def text_blocks(stream: pa.NativeFile, encoding: str, block_bytes: int) -> Iterator[TextBlock]:
    """A text file, block after block, without the byte order mark.

    Raises
    ------
    UnicodeDecodeError
        A file in UTF-16 or UTF-32 is broken; no later line could be trusted.
    LookupError
        There is no such encoding.
    """
    name, chunks = codecs.lookup(encoding).name, iter(partial(stream.read, block_bytes), b"")
    if name.startswith(_WIDE):
        chunks, name = _from_wide(chunks, encoding), "utf-8"
    first = True
    for lines, overlong in _line_blocks(_line_feeds(chunks)):
        block = lines.removeprefix(_BOM) if first and name.startswith("utf-8") else lines
        first = False
        decoded = _decoded(block, "utf-8" if name.startswith("utf-8") else name)
        yield TextBlock(decoded.text, (*decoded.broken, *overlong))


def escaped(line: bytes, encoding: str = "utf-8") -> str:
    """A line as text, what is none as escapes, without its end."""
    return line.rstrip(b"\r\n").decode(encoding, "backslashreplace")


def _from_wide(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks; carriage returns become line feeds if the beginning of the file has no other line ends."""
    begin: list[bytes] = []
    for chunk in chunks:
        begin.append(chunk)
        if sum(map(len, begin)) >= _PEEK_BYTES:
            break
    swap = any(b"\r" in chunk for chunk in begin) and not any(b"\n" in chunk for chunk in begin)
    for chunk in chain(begin, chunks):
        yield chunk.replace(b"\r", b"\n") if swap else chunk


def _line_blocks(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Whole lines, and what is shown of lines that are too long."""
    pieces: list[bytes] = []  # the line that no line end was seen of
    dropped = 0  # bytes of it that are not held any more
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if cut and dropped:
            end = chunk.find(b"\n") + 1
            yield b"", (_overlong(b"".join((*pieces, chunk[:end])), dropped),)
            yield _without_overlong(chunk[end:cut])
        elif cut:
            yield _without_overlong(b"".join((*pieces, chunk[:cut])))
        if cut:
            pieces, dropped = [], 0
        pieces.append(chunk[cut:])
        if sum(map(len, pieces)) + dropped > LINE_LIMIT_BYTES:
            kept = b"".join(pieces)
            dropped, pieces = dropped + max(len(kept) - _SHOWN_BYTES, 0), [kept[:_SHOWN_BYTES]]
    last = b"".join(pieces)
    if dropped:
        yield b"", (_overlong(last, dropped),)
    elif last:
        yield last, ()


def _without_overlong(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    if len(text) <= LINE_LIMIT_BYTES:
        return text, ()
    lines = whole_lines(text)
    overlong = tuple(_overlong(line, 0) for line in lines if len(line) > LINE_LIMIT_BYTES)
    return b"".join(line for line in lines if len(line) <= LINE_LIMIT_BYTES), overlong


def _overlong(line: bytes, dropped: int) -> str:
    return f"{escaped(line[:_SHOWN_BYTES])} ... ({len(line) + dropped:,} bytes)"


def _decoded(block: bytes, encoding: str) -> TextBlock:
    if block.isascii():
        return TextBlock(block)
    try:
        text = block.decode(encoding)
    except UnicodeDecodeError:
        return _line_by_line(block, encoding)
    return TextBlock(block if encoding == "utf-8" else text.encode())


def _line_by_line(block: bytes, encoding: str) -> TextBlock:
    good, broken = [], []
    for line in whole_lines(block):
        try:
            good.append(line.decode(encoding).encode())
        except UnicodeDecodeError:
            broken.append(escaped(line, encoding))
    return TextBlock(b"".join(good), tuple(broken))


def whole_lines(block: bytes) -> list[bytes]:
    """The lines of a block, each with its line feed; the last one gets one if it has none."""
    return [line + b"\n" for line in block.removesuffix(b"\n").split(b"\n")] if block else []
