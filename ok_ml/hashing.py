"""Hashes that several layers must agree on: the part of an id, the content of a table."""

from typing import TYPE_CHECKING

import numpy as np
import xxhash

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MASK_63 = (1 << 63) - 1
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix64(values: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """The splitmix64 finaliser (Steele, Lea, Flood 2014), element by element, wrapping mod 2^64."""
    z = values.astype(np.uint64, copy=True)
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    return z


def part_of(ids: "NDArray[np.int64]", parts: int) -> "NDArray[np.int32]":
    """The part of each int64 id: mix64(id) mod `parts`.

    Event files, feature tables, inference tasks, Kafka partitions and storage databases all use it,
    so that nothing is shuffled between them.
    """
    mixed = mix64(np.asarray(ids, dtype=np.int64).view(np.uint64))
    return (mixed % np.uint64(parts)).astype(np.int32)


def part_of_key(key: bytes, parts: int) -> int:
    """The part of one storage key: 8 big-endian bytes are an int64 id, anything else is UTF-8 text."""
    if len(key) == 8:
        return int(part_of(np.frombuffer(key, dtype=">i8").astype(np.int64), parts)[0])
    return xxhash.xxh3_64_intdigest(key) % parts


def text_id(text: str) -> int:
    """The int64 id of a text id: the low 63 bits of XXH3-64 of its UTF-8, so never negative and the same everywhere."""
    return xxhash.xxh3_64_intdigest(text.encode()) & _MASK_63


def entity_key(entity_id: int) -> bytes:
    """The storage key of an int64 id: 8 bytes big-endian, so that byte order is numeric order for ids >= 0."""
    return int(entity_id).to_bytes(8, "big", signed=True)


def content_hash(table: "pa.Table", sort_by: list[str]) -> str:
    """A hash of the rows of `table`, whatever their order and however they were chunked or written.

    Rows are sorted by `sort_by` (which must identify a row up to equality of all columns), columns by name;
    the raw buffers of each column are hashed. Returns 16 hex digits.
    """
    import pyarrow as pa

    digest = xxhash.xxh3_64()
    ordered = table.sort_by([(name, "ascending") for name in sort_by]).select(sorted(table.column_names))
    sink = pa.BufferOutputStream()
    combined = ordered.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, combined.schema) as writer:
        writer.write_table(
            pa.table(
                {
                    name: pa.concat_arrays(combined[name].chunks) if combined.num_rows else combined[name]
                    for name in combined.column_names
                },
                schema=combined.schema,
            )
        )
    digest.update(sink.getvalue())
    return str(digest.hexdigest())
