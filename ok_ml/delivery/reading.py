"""The reader side of the storage."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Final, TypeVar

import xxhash

from ok_ml.delivery.codec import (
    FALLBACK_KEY,
    Kind,
    Prediction,
    Source,
    decode_prediction,
    decode_scores,
    decode_source,
    key_of,
)
from ok_ml.delivery.manifest import Answer, GenerationManifest
from ok_ml.errors import IntegrityError, ServiceUnavailable
from ok_ml.hashing import part_of_key

_T = TypeVar("_T")
HASH_BYTES: Final = 8
_ATTEMPTS: Final = 8
_PREDICTION: Final = bytes([Kind.PREDICTION])
_SCORES: Final = bytes([Kind.SCORES])
_CATALOGUE: Final = bytes([Kind.CATALOGUE])
_FALLBACK: Final = bytes([Kind.FALLBACK]) + FALLBACK_KEY
_MASK: Final = (1 << 64) - 1


class GenerationGone(Exception):  # noqa: N818 (never leaves this package)
    """The generation was removed between the look at what is current and the reading: look again."""


def stored_value(key: bytes, value: bytes) -> tuple[bytes, int]:
    """A value as it is stored, with the hash of key and value behind it; and that hash."""
    digest = xxhash.xxh3_64_intdigest(key + value)
    return value + digest.to_bytes(HASH_BYTES, "big"), digest


def checked_value(stored_key: bytes, stored: bytes) -> bytes:
    """The value of what was stored. Raises IntegrityError if its hash does not fit: a bit has flipped."""
    value = stored[:-HASH_BYTES]
    if xxhash.xxh3_64_digest(stored_key[1:] + value) != stored[-HASH_BYTES:]:
        raise IntegrityError(
            f"the stored value of key {stored_key[1:].hex()} does not match its checksum",
            why="a damaged list would be served",
            remedy="roll back to another generation, check the disk, then publish again",
        )
    return value


def part_of_one(key: bytes, parts: int) -> int:
    """`ok_ml.hashing.part_of_key` without numpy, which costs 10 us a call: a request often asks for one id."""
    if len(key) != 8:
        return part_of_key(key, parts)
    z = int.from_bytes(key, "big")
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) % parts


class Snapshot(ABC):
    """One opened generation, which knows how to look up stored keys in one transaction."""

    def __init__(self, manifest: GenerationManifest) -> None:
        self.manifest = manifest
        self._fallback: Prediction | None = None
        self._names: dict[int, Source] = {}

    @abstractmethod
    def lookup(self, wanted: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """Stored values of (part, stored key) pairs, all of this generation. Raises GenerationGone."""

    @abstractmethod
    def examples(self, limit: int) -> list[int | str]:
        """Some ids that it knows. Raises GenerationGone."""

    def answer(self, entities: Sequence[int | str], *, with_names: bool) -> Answer:
        """The answer to a request."""
        parts = self.manifest.parts
        keys = [key_of(entity) for entity in entities]
        kind = _SCORES if self.manifest.labels else _PREDICTION
        wanted = [(part_of_one(key, parts), kind + key) for key in keys]
        values = self.lookup(wanted)
        if kind is _SCORES:
            scores = [
                None if stored is None else decode_scores(checked_value(key, stored))
                for (_, key), stored in zip(wanted, values, strict=True)
            ]
            return Answer(self.manifest, (), None, {}, scores)
        lists = [
            None if stored is None else decode_prediction(checked_value(key, stored))
            for (_, key), stored in zip(wanted, values, strict=True)
        ]
        fallback = self.fallback()
        names = (
            self.names({int(s) for one in (*lists, fallback) if one is not None for s in one.source_ids})
            if with_names
            else {}
        )
        return Answer(self.manifest, lists, fallback, names)

    def fallback(self) -> Prediction:
        """The list for unknown entities; cached."""
        if self._fallback is None:
            stored = self.lookup([(0, _FALLBACK)])[0]
            if stored is None:
                raise IntegrityError(
                    f"generation {self.manifest.name} has no fallback list",
                    why="unknown users would get no answer",
                    remedy="roll back to another generation, then publish again",
                )
            self._fallback = decode_prediction(checked_value(_FALLBACK, stored))
        return self._fallback

    def names(self, source_ids: Iterable[int]) -> dict[int, Source]:
        """What the catalogue knows of some sources; cached, so that each is looked up once a generation."""
        wanted = set(source_ids)
        missing = [source for source in wanted if source not in self._names]
        keys = [(part_of_one(key, self.manifest.parts), _CATALOGUE + key) for key in map(key_of, missing)]
        for source, (_, key), stored in zip(missing, keys, self.lookup(keys) if keys else [], strict=True):
            if stored is not None:
                self._names[source] = decode_source(checked_value(key, stored))
        return {source: self._names[source] for source in wanted if source in self._names}


class Reader(ABC):
    """Reads the current generation of one experiment. Opened in the process that uses it; safe for threads."""

    def __init__(self, experiment: str) -> None:
        self.experiment = experiment

    @abstractmethod
    def _snapshot(self) -> AbstractContextManager[Snapshot | None]:
        """The generation that is current now, open within the block; None while nothing was published. Raises GenerationGone."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    def get_many(self, entities: Sequence[int | str], *, with_names: bool = False) -> Answer | None:
        """The lists of some entities, whole from the generation that is current when the call begins, or a newer one.

        Parameters
        ----------
        with_names
            Look up name and topic of every source in the answer, the fallback's too.

        Returns
        -------
        None while nothing was published.

        Raises
        ------
        IntegrityError
            Stored bytes are damaged.
        ServiceUnavailable
            The storage does not answer.
        """
        return self._persistently(lambda snapshot: snapshot.answer(entities, with_names=with_names))

    def describe(self) -> GenerationManifest | None:
        """What is served now, or None while nothing was published. Raises as `get_many`."""
        return self._persistently(lambda snapshot: snapshot.manifest)

    def example_ids(self, limit: int) -> list[int | str]:
        """Some ids that the current generation knows. Raises as `get_many`."""
        return self._persistently(lambda snapshot: snapshot.examples(limit)) or []

    def _persistently(self, ask: Callable[[Snapshot], _T]) -> _T | None:
        """Ask again, a bounded number of times, while the generation goes away under the question."""
        for attempt in range(_ATTEMPTS):
            try:
                with self._snapshot() as snapshot:
                    return None if snapshot is None else ask(snapshot)
            except GenerationGone as error:
                if attempt + 1 == _ATTEMPTS:
                    raise ServiceUnavailable(
                        f"the current generation of {self.experiment} vanished {_ATTEMPTS} times while it was opened",
                        why="no answer can be whole",
                        remedy="try again; if it stays so, look at the materialiser's log, or roll back",
                    ) from error
        raise AssertionError("not reached")
