"""Whether two texts were given the same id, over any number of batches, in bounded memory.

Of every distinct text its id and a second, independent hash are stored; one id with two second hashes is a collision. Beyond
a limit they wait on the disk, cut by id into pieces that fit into memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import xxhash

from ok_ml.datasets.conversion.cells import hash_collision, ids_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pairs = NDArray[np.int64]

_SEED: Final = 0x6F6B5F6D6C
_PIECES: Final = 64


class SeenTexts:
    """The texts of one id column.

    Parameters
    ----------
    key
        The place in the configuration, for messages.
    folder
        For what does not fit into memory.
    limit
        Distinct texts held in memory.
    """

    def __init__(self, key: str, folder: Path, limit: int = 1 << 20) -> None:
        self._key, self._folder, self._limit = key, folder, limit
        self._held: Pairs = np.empty((0, 2), np.int64)
        self._on_disk = False

    def add(self, texts: Sequence[str]) -> None:
        """Add some distinct texts.

        Raises
        ------
        DataError
            Two texts share an id.
        """
        checks = [xxhash.xxh3_64_intdigest(text.encode(), _SEED) for text in texts]
        fresh = np.column_stack([ids_of(texts), np.array(checks, np.uint64).view(np.int64)])
        self._held = self._distinct(np.concatenate([self._held, fresh]))
        if len(self._held) > self._limit:
            self._write()

    def finish(self) -> None:
        """Compare what is on the disk; raises as `add` does."""
        if not self._on_disk:
            return
        self._write()
        for path in sorted(self._folder.glob("*.pairs")):
            self._distinct(np.fromfile(path, np.int64).reshape(-1, 2))

    def _distinct(self, pairs: "Pairs") -> "Pairs":
        unique = np.unique(pairs, axis=0) if len(pairs) else pairs
        if (unique[1:, 0] == unique[:-1, 0]).any():
            raise hash_collision(self._key, len(unique))
        return unique

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._on_disk = True
        piece = self._held[:, 0] % _PIECES
        for number in range(_PIECES):
            with (self._folder / f"{number:02d}.pairs").open("ab") as handle:
                self._held[piece == number].tofile(handle)
        self._held = self._held[:0]
