"""The contract of the storage of predictions: generations, one of which is current.

Writer side: a generation is staged, verified against its signed control records, sealed, and switched to in one step
under a lock. Reader side: every answer is whole from one generation, and a request that begins after a switch returned
gets the new one. All backends behave alike; one contract test suite runs on all of them.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import xxhash

from ok_ml.config.models import StorageConfig
from ok_ml.delivery.control import Control, hex_checksum
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.manifest import GenerationInfo, GenerationManifest
from ok_ml.delivery.reading import HASH_BYTES, Reader
from ok_ml.errors import ConfigError, EnvironmentFault, IntegrityError, UsageError

BACKENDS: Final = {
    "lmdb": "ok_ml.delivery.backends.lmdb_store.LmdbStore",
    "redis": "ok_ml.delivery.backends.redis_store.RedisStore",
}
_EVENTS_KEPT: Final = 50

Document = dict[str, Any]


class StagedGeneration(ABC):
    """A generation that is being filled, durable up to its last `commit`.

    Attributes
    ----------
    generation
        Milliseconds since the epoch.
    """

    generation: int

    @abstractmethod
    def states(self) -> dict[int, Document]:
        """Part -> the state that was last written with it."""

    @abstractmethod
    def write(self, part: int, tag: bytes, records: Sequence[tuple[bytes, bytes]], state: Document) -> None:
        """Add records of one attempt, keys ascending, and the part's state, in one transaction.

        Parameters
        ----------
        records
            Stored keys (kind byte and key) and stored values (value and its hash).

        Raises
        ------
        IntegrityError
            Keys are not ascending.
        EnvironmentFault
            There is no space left.
        ServiceUnavailable
            The backend does not answer; what was written since the last commit may be there or not.
        """

    @abstractmethod
    def drop(self, part: int, tag: bytes) -> None:
        """Forget the records of one attempt."""

    @abstractmethod
    def commit(self) -> None:
        """Make everything so far durable. Raises as `write`."""

    @abstractmethod
    def scan(self, part: int, tag: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Stored keys and values of one attempt."""

    @abstractmethod
    def seal(self, manifest: GenerationManifest) -> None:
        """Make it immutable and known as sealed. It is not used any more afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Let go without a commit."""

    def verify(self, control: Control) -> None:
        """Read an attempt back and compare with its control record.

        Raises
        ------
        IntegrityError
            Count or checksum differ.
        """
        count = total = 0
        for key, stored in self.scan(control.part, control.tag):
            count += 1
            total += xxhash.xxh3_64_intdigest(key[1:] + stored[:-HASH_BYTES])
        if (count, hex_checksum(total)) != (control.count, control.checksum):
            raise IntegrityError(
                f"part {control.part} of generation {generation_name(self.generation)}: stored {count} records with checksum"
                f" {hex_checksum(total)}, published {control.count} with {control.checksum}",
                why="some users would get damaged lists or none",
                remedy="check disk or memory limits of the storage, then publish again",
            )


class PredictionStore(ABC):
    """Generations of predictions by experiment."""

    # -- what a backend implements ------------------------------------------------------------------------------

    @abstractmethod
    def reader(self, experiment: str, *, verify: bool = True) -> Reader:
        """A reader; opened in the process that uses it. `verify` checks every byte of a generation when it is opened."""

    @abstractmethod
    def experiments(self) -> list[str]:
        """Experiments that something is known about."""

    @abstractmethod
    def read_document(self, experiment: str, name: str) -> Document | None:
        """A small JSON document, or None."""

    @abstractmethod
    def write_document(self, experiment: str, name: str, document: Document, *, durable: bool = True) -> None:
        """Replace a small JSON document in one step."""

    @abstractmethod
    def stage(self, experiment: str, generation: int) -> StagedGeneration:
        """Begin a generation, or continue with one that was begun."""

    @abstractmethod
    def staged(self, experiment: str) -> list[int]:
        """Generations that were begun and not sealed, ascending."""

    @abstractmethod
    def drop_staged(self, experiment: str, generation: int) -> None:
        """Forget a generation that was begun."""

    @abstractmethod
    def sealed(self, experiment: str) -> list[GenerationManifest]:
        """Sealed generations, ascending."""

    @abstractmethod
    def current(self, experiment: str) -> int | None:
        """The generation that is served, or None."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    @abstractmethod
    def _lock(self, experiment: str) -> contextlib.AbstractContextManager[None]:
        """One at a time, over processes."""

    @abstractmethod
    def _point(self, experiment: str, generation: int) -> None:
        """Make a sealed generation the current one, in one step, durably."""

    @abstractmethod
    def _remove(self, experiment: str, generation: int) -> None:
        """Remove a sealed generation."""

    # -- what all backends share ----------------------------------------------------------------------------------

    def newest(self, experiment: str) -> int:
        """The newest generation ever switched to, also if it was rolled back; 0 if there was none."""
        return int(self._history(experiment)["newest"])

    def generations(self, experiment: str) -> list[GenerationInfo]:
        """Sealed generations, newest first."""
        current, withdrawn = self.current(experiment), set(self._history(experiment)["withdrawn"])
        manifests = reversed(self.sealed(experiment))
        return [GenerationInfo(m, m.generation == current, m.generation in withdrawn) for m in manifests]

    def switch(self, experiment: str, generation: int, *, why: str = "published") -> None:
        """Serve a sealed generation from now on. A request that begins after the return gets it.

        Raises
        ------
        UsageError
            It is not there.
        """
        with self._lock(experiment):
            self._switch(experiment, generation, why, withdraw=[], restore=[generation])

    def pending(self, experiment: str) -> int | None:
        """The newest sealed generation that should be current and is not: a switch was interrupted."""
        current, withdrawn = self.current(experiment) or 0, set(self._history(experiment)["withdrawn"])
        newer = [
            m.generation for m in self.sealed(experiment) if m.generation > current and m.generation not in withdrawn
        ]
        return max(newer, default=None)

    def rollback(self, experiment: str, to: int | None = None) -> int:
        """Serve an older generation; whatever is newer is withdrawn, so that a second rollback does not return to it.

        Parameters
        ----------
        to
            Default: the newest older one that was not withdrawn.

        Returns
        -------
        The generation that is served now.

        Raises
        ------
        UsageError
            There is none to roll back to.
        """
        with self._lock(experiment):
            current, withdrawn = self.current(experiment) or 0, set(self._history(experiment)["withdrawn"])
            sealed = [manifest.generation for manifest in self.sealed(experiment)]
            older = [generation for generation in sealed if generation < current and generation not in withdrawn]
            target = to if to is not None else max(older, default=None)
            if target is None or target >= current or target not in sealed:
                kept = ", ".join(generation_name(generation) for generation in older) or "none"
                raise UsageError(
                    f"{experiment} cannot be rolled back{f' to {generation_name(target)}' if target else ''}; older generations: {kept}",
                    why="only a verified generation that is still stored can be served",
                    remedy="publish a new generation",
                )
            newer = [generation for generation in sealed if generation > target]
            self._switch(experiment, target, "rolled back", withdraw=newer, restore=[target])
            return target

    def collect(self, experiment: str, keep: int) -> list[int]:
        """Remove all but `keep` generations; never the current one or one that waits for its switch.

        Returns
        -------
        The generations that were removed.
        """
        with self._lock(experiment):
            current, withdrawn = self.current(experiment) or 0, set(self._history(experiment)["withdrawn"])
            sealed = [manifest.generation for manifest in reversed(self.sealed(experiment))]
            fixed = [g for g in sealed if g == current or (g > current and g not in withdrawn)]
            others = sorted((g for g in sealed if g not in fixed), key=lambda g: (g in withdrawn, -g))
            removed = others[max(keep - len(fixed), 0) :]
            for generation in removed:
                self._remove(experiment, generation)
            return removed

    def _switch(
        self, experiment: str, generation: int, why: str, *, withdraw: Sequence[int], restore: Sequence[int]
    ) -> None:
        sealed = {manifest.generation for manifest in self.sealed(experiment)}
        if generation not in sealed:
            raise UsageError(
                f"{experiment} has no sealed generation {generation_name(generation)}",
                why="only a verified generation can be served",
                remedy="choose one of the listed generations",
            )
        history, current = self._history(experiment), self.current(experiment)
        history["withdrawn"] = sorted(((set(history["withdrawn"]) | set(withdraw)) - set(restore)) & sealed)
        history["newest"] = max(history["newest"], generation)
        event = {"generation": generation, "from": current, "why": why, "at": time.time()}
        history["events"] = [*history["events"], event][-_EVENTS_KEPT:]
        self.write_document(experiment, "history", history)
        self._point(experiment, generation)

    def _history(self, experiment: str) -> Document:
        return self.read_document(experiment, "history") or {"newest": 0, "withdrawn": [], "events": []}


def open_store(config: StorageConfig, root: str | Path = ".") -> PredictionStore:
    """The storage that the configuration names.

    Parameters
    ----------
    root
        Relative paths are below it.

    Raises
    ------
    ConfigError
        No such backend.
    EnvironmentFault
        A package that the backend needs is missing.
    ServiceUnavailable
        It does not answer.
    """
    path = BACKENDS.get(config.backend)
    if path is None:
        raise ConfigError(
            f"storage.backend is {config.backend!r}; known: {', '.join(BACKENDS)}",
            why="predictions have nowhere to go",
            remedy="use a known short name, or register a backend in ok_ml.delivery.storage.BACKENDS",
        )
    module, name = path.rsplit(".", 1)
    try:
        make: Callable[[StorageConfig, Path], PredictionStore] = getattr(import_module(module), name)
        return make(config, Path(root))
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"storage backend {config.backend} needs the package {error.name}",
            why="predictions cannot be stored or served",
            remedy=f"pip install 'ok-ml[{config.backend}]'",
        ) from error
