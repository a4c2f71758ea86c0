"""The content version of a table, as a sum over its rows: it needs no order and no second copy."""

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from ok_ml.hashing import mix64

_NULL = np.uint64(0x6E756C6C)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_hashes(table: pa.Table) -> NDArray[np.uint64]:
    """A 64-bit hash of each row of a table of integers and strings; columns count in the order of their names."""
    total = np.zeros(table.num_rows, np.uint64)
    for name in sorted(table.column_names):
        total = mix64(total * _GOLDEN + _cell_bits(table[name].combine_chunks()))
    return total


def sum_of_rows(hashes: NDArray[np.uint64]) -> str:
    """The sum of row hashes modulo 2^64 and their number: equal for equal rows, whatever their order or their tasks."""
    return f"{int(hashes.sum(dtype=np.uint64)):016x}-{len(hashes)}"


def _cell_bits(column: pa.Array) -> NDArray[np.uint64]:
    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        digests = [xxhash.xxh3_64_intdigest(word.encode()) for word in coded.dictionary.to_pylist()]
        words = np.array(digests or [0], np.uint64)
        bits = words[coded.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    else:
        bits = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, _NULL, bits)
