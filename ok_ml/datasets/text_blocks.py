"""Text files as blocks of whole lines in UTF-8, in bounded memory.

What is a line, and which of them are readable, does not depend on the size of the blocks: a line is what ends in a line
feed (in a carriage return, in a file without any line feed), and it is unreadable if its bytes are no text in the declared
encoding, or if it is longer than `LINE_LIMIT_BYTES`.
"""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    name, chunks = codecs.lookup(encoding).name, _chunks(stream, block_bytes)
    if name.startswith(_WIDE):
        chunks, name = _from_wide(chunks, encoding), "utf-8"
    first = True
    for lines, overlong in _line_blocks(_line_feeds(chunks)):
        block = lines.removeprefix(_BOM) if first and name.startswith("utf-8") else lines
        first = False
        found = _decoded(block, "utf-8" if name.startswith("utf-8") else name)
        yield TextBlock(found.text, (*found.broken, *overlong))


def escaped(line: bytes, encoding: str = "utf-8") -> str:
    """A line as text, what is none as escapes, without its end."""
    return line.rstrip(b"\r\n").decode(encoding, "backslashreplace")


def _chunks(stream: pa.NativeFile, block_bytes: int) -> Iterator[bytes]:
    while chunk := stream.read(block_bytes):
        yield chunk


def _from_wide(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks; carriage returns become line feeds if the beginning of the file has no other line ends."""
    begin = b""
    for chunk in chunks:
        begin += chunk
        if len(begin) >= _PEEK_BYTES:
            break
    swap = b"\n" not in begin and b"\r" in begin
    yield begin.replace(b"\r", b"\n") if swap else begin
    for chunk in chunks:
        yield chunk.replace(b"\r", b"\n") if swap else chunk


def _line_blocks(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Whole lines, and what is shown of lines that are too long."""
    pieces: list[bytes] = []  # the line that no line end was seen of
    dropped = 0  # bytes of it that are not kept any more
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            pieces.append(chunk)
            if dropped or sum(map(len, pieces)) > LINE_LIMIT_BYTES:
                kept = b"".join(pieces)
                dropped, pieces = dropped + max(len(kept) - _SHOWN_BYTES, 0), [kept[:_SHOWN_BYTES]]
            continue
        end = chunk.find(b"\n") + 1
        held = sum(map(len, pieces)) + dropped
        if held + end > LINE_LIMIT_BYTES:
            shown = (b"".join(pieces) + chunk[:end])[:_SHOWN_BYTES]
            yield chunk[end:cut], (_overlong(shown, held + end),)
        else:
            yield b"".join((*pieces, chunk[:cut])), ()
        pieces, dropped = [chunk[cut:]], 0
    last = b"".join(pieces)
    if dropped:
        yield b"", (_overlong(last, len(last) + dropped),)
    elif last:
        yield last, ()


def _overlong(shown: bytes, size: int) -> str:
    return f"{escaped(shown)} ... ({size:,} bytes)"


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
