"""Counter-based randomness and the sparse-looking ids of the simulated network.

Every draw is a function of (seed, stream, block, day): Philox 4x64 (Salmon et al. 2011) starts at a counter made of
them, so that rows do not depend on how many tasks made them, or in which order.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ok_ml.hashing import mix64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Stream(IntEnum):
    """What a draw is for: draws of different streams are independent."""

    TOPICS = 1
    SOURCES = 2
    BURSTS = 3
    USERS = 4
    CIRCLES = 5
    INTERESTS = 6
    SUBSCRIPTIONS = 7
    DAY = 8
    FINDS = 9
    TRENDS = 10
    FRIENDS = 11
    REGISTRATION = 12
    PAIRS = 13
    POSTS = 14
    INCIDENTS = 15
    TASTE_CHANGES = 16
    TEXTS = 17


def generator(seed: int, stream: Stream, block: int = 0, day: int = 0) -> np.random.Generator:
    """The random numbers of one (seed, stream, block, day); at most 2^129 draws before it meets another."""
    key = np.array([seed, int(stream)], dtype=np.uint64)
    counter = np.array([0, 0, block, day], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def hash64(
    seed: int, stream: Stream, first: NDArray[np.int64], second: NDArray[np.int64] | int = 0
) -> NDArray[np.uint64]:
    """64 random bits for each pair of integers; `first` and `second` broadcast against each other."""
    start = np.uint64((seed * 0x1000193 + int(stream)) & 0xFFFFFFFFFFFFFFFF)
    left = mix64(np.atleast_1d(np.asarray(first, dtype=np.int64)).view(np.uint64) * _GOLDEN + start)
    right = np.atleast_1d(np.asarray(second, dtype=np.int64)).view(np.uint64) * _GOLDEN
    return mix64(left ^ right)


def uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Bits as float64 in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(bits: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Bits as nearly normal float32 of mean 0 and variance 1: the sum of their four 16-bit lanes (variance 4/12)."""
    lanes = np.ascontiguousarray(bits).view(np.uint16).reshape(*bits.shape, 4)
    total = lanes.sum(axis=-1, dtype=np.uint32)
    deviates: NDArray[np.float32] = ((total.astype(np.float32) + 2.0) / 65536.0 - 2.0) * np.float32(3.0**0.5)
    return deviates


@dataclass(frozen=True)
class IdSpace:
    """A bijection between 0 .. 2^bits - 1 and scattered positive int64 ids.

    Two rounds of addition, multiplication by an odd number and xor-shift, all invertible modulo 2^bits.
    """

    bits: int
    offset: int = 1_000_003  # no id is 0: a friend request has source 0

    def encode(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of indices."""
        x = np.asarray(index, dtype=np.int64).astype(np.uint64)
        for _ in range(2):
            x = ((x + np.uint64(_ADDED)) * np.uint64(_ODD)) & self._mask
            x ^= x >> self._shift
        return x.astype(np.int64) + self.offset

    def decode(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of ids; -1 for what is no id of this space."""
        raw = np.asarray(ids, dtype=np.int64) - self.offset
        x = raw.astype(np.uint64)
        inverse = np.uint64(pow(_ODD, -1, 1 << self.bits))
        for _ in range(2):
            x ^= x >> self._shift
            x = (x * inverse - np.uint64(_ADDED)) & self._mask
        return np.where((raw < 0) | (raw >> self.bits > 0), np.int64(-1), x.astype(np.int64))

    @property
    def _mask(self) -> np.uint64:
        return np.uint64((1 << self.bits) - 1)

    @property
    def _shift(self) -> np.uint64:
        return np.uint64((self.bits + 1) // 2)  # at least half of the bits: its own inverse


_ADDED = 0x51ED27
_ODD = 0x9E3779B97F4A7C15
USER_IDS = IdSpace(36)
SOURCE_IDS = IdSpace(40)
POST_IDS = IdSpace(56)
