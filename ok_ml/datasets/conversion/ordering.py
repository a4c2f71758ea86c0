"""The canonical order of events: by partition, part, user and time, then by everything else."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MICROS_A_DAY: Final = 86_400_000_000
_WORD_BITS: Final = 63


def canonical_order(
    partitions: "NDArray[np.int32]",
    parts: "NDArray[np.int32]",
    users: "NDArray[np.int64]",
    micros: "NDArray[np.int64]",
    rest: "list[NDArray[Any]]",
) -> "NDArray[np.int64]":
    """Places of the rows in ascending order.

    Parameters
    ----------
    partitions
        Days since 1970-01-01 on which the partition of each row begins.
    parts
        The part of each user.
    micros
        Microseconds since 1970-01-01 UTC.
    rest
        What decides between rows of one user at one time, least significant first; rows equal in all of it are alike.
    """
    packed = _packed(partitions, parts, users, micros)
    keys: list[NDArray[Any]] = [partitions, parts, users, micros] if packed is None else [packed]
    order = np.argsort(packed) if packed is not None else np.lexsort(keys[::-1])
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    tied = np.zeros(len(order), bool)
    tied[1:] |= same
    tied[:-1] |= same
    if tied.any():
        rows = order[tied]
        order[tied] = rows[np.lexsort([*(key[rows] for key in rest), *(key[rows] for key in keys[::-1])])]
    return order


def _packed(
    partitions: "NDArray[np.int32]", parts: "NDArray[np.int32]", users: "NDArray[np.int64]", micros: "NDArray[np.int64]"
) -> "NDArray[np.int64] | None":
    """One number a row that orders by partition, part, user and time; None if that takes more than 63 bits.

    One sort of whole numbers is several times faster than one a key. Users count by their rank among those that are there,
    times from the start of their partition.
    """
    if not len(users):
        return None
    encoded = pa.array(users).dictionary_encode()
    codes, distinct = encoded.indices.to_numpy(), encoded.dictionary.to_numpy()
    part_of_user = np.zeros(len(distinct), np.int32)
    part_of_user[codes] = parts
    rank = np.empty(len(distinct), np.int64)
    rank[np.lexsort([distinct, part_of_user])] = np.arange(len(distinct))
    within = micros - partitions.astype(np.int64) * _MICROS_A_DAY
    day = partitions.astype(np.int64) - int(partitions.min())
    user_bits, time_bits = len(distinct).bit_length(), int(within.max()).bit_length()
    if within.min() < 0 or int(day.max()).bit_length() + user_bits + time_bits > _WORD_BITS:
        return None
    return np.asarray((((day << user_bits) | rank[codes]) << time_bits) | within)
