"""One reader an experiment, opened on first use: after the fork, in the process that answers."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ok_ml.delivery.manifest import Answer
from ok_ml.delivery.reading import Reader
from ok_ml.delivery.storage import PredictionStore
from ok_ml.errors import IntegrityError, OkMlError
from ok_ml.serving.encoding import GenerationJson
from ok_ml.serving.problems import Problem

_T = TypeVar("_T")
_RETRY_AFTER: Final = {"retry-after": "5"}


@dataclass(slots=True)
class Tally:
    """How many users were looked up, and how many of them got the list for users without history."""

    lookups: int = 0
    fallbacks: int = 0


class Readers:
    """The storage as requests see it: every trouble becomes a Problem with a remedy.

    Parameters
    ----------
    experiments
        Names that are served.
    open_store
        Called once, on first use.
    """

    def __init__(self, experiments: Sequence[str], open_store: Callable[[], PredictionStore]) -> None:
        self.experiments = tuple(experiments)
        self.tallies = {name: Tally() for name in self.experiments}
        self._open_store, self._opening = open_store, threading.Lock()
        self._store: PredictionStore | None = None
        self._readers: dict[str, Reader] = {}
        self._encoders: dict[str, GenerationJson] = {}

    def store(self) -> PredictionStore:
        """The storage itself. Raises as `open_store`."""
        with self._opening:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    def reader(self, experiment: str) -> Reader:
        """The reader of an experiment. Raises Problem 404 for an unknown one and 503 if its storage does not answer."""
        known = self._readers.get(experiment)
        if known is not None:
            return known
        if experiment not in self.experiments:
            raise unknown_experiment(experiment, self.experiments)
        opened = answered(lambda: self.store().reader(experiment))
        return self._readers.setdefault(experiment, opened)

    def open_readers(self, experiment: str) -> int:
        """How many readers of an experiment this process holds open."""
        return int(experiment in self._readers)

    def one(self, experiment: str, entity_id: int, n: int | None) -> bytes:
        """The JSON document for one entity. Raises Problem 404 or 503."""

        def encode(made: GenerationJson, answer: Answer) -> bytes:
            if answer.scores and answer.scores[0] is None:
                raise _not_scored(experiment, entity_id, answer.manifest.name)
            return made.one(entity_id, answer, n)

        return self._document(experiment, (entity_id,), encode)

    def many(self, experiment: str, entity_ids: Sequence[int], n: int | None) -> bytes:
        """The JSON document for a batch, whole from one generation. Raises Problem 404 or 503."""
        return self._document(experiment, entity_ids, lambda made, answer: made.many(entity_ids, answer, n))

    def _document(
        self, experiment: str, entity_ids: Sequence[int], encode: Callable[[GenerationJson, Answer], bytes]
    ) -> bytes:
        """Encode from what is known of the generation; only if a source is new, read again with names."""
        reader = self.reader(experiment)
        answer = self._read(reader, entity_ids, with_names=False)
        tally = self.tallies[experiment]
        tally.lookups += len(entity_ids)
        tally.fallbacks += sum([served is None or served.is_fallback for served in answer.lists])
        tally.fallbacks += sum([served is None for served in answer.scores])
        try:
            return encode(self._encoder(experiment, answer), answer)
        except KeyError:
            named = self._read(reader, entity_ids, with_names=True)
            encoder = self._encoder(experiment, named)
            encoder.learn(named)
            return encode(encoder, named)

    def _read(self, reader: Reader, entity_ids: Sequence[int], *, with_names: bool) -> Answer:
        try:
            answer = reader.get_many(entity_ids, with_names=with_names)
        except OkMlError as error:
            raise refused(error) from error
        if answer is None:
            raise nothing_published(reader.experiment)
        return answer

    def _encoder(self, experiment: str, answer: Answer) -> GenerationJson:
        """What was encoded of this generation; that of the one before is let go."""
        made = self._encoders.get(experiment)
        if made is None or made.generation != answer.manifest.generation:
            made = self._encoders[experiment] = GenerationJson(experiment, answer.manifest)
        return made

    def close(self) -> None:
        """Close every reader and the storage."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        if self._store is not None:
            self._store.close()
            self._store = None


def answered(ask: Callable[[], _T]) -> _T:
    """What the storage answers; its deliberate errors become Problems."""
    try:
        return ask()
    except OkMlError as error:
        raise refused(error) from error


def refused(error: OkMlError) -> Problem:
    """A deliberate error of the storage as an answer."""
    status = 500 if isinstance(error, IntegrityError) else 503
    headers = _RETRY_AFTER if status == 503 else None
    return Problem(status, error.problem, why=error.why, remedy=error.remedy, headers=headers)


def _not_scored(experiment: str, entity_id: int, generation: str) -> Problem:
    """The answer for an id that a generation of label scores does not hold."""
    return Problem(
        404,
        f"{experiment} has no scores of {entity_id} in generation {generation}",
        why="only what was in the newest batch is scored, and a text that was never seen has no neutral answer",
        remedy="send the id as it stands in the dataset; a new text is scored with the next batch",
    )


def unknown_experiment(name: str, known: Sequence[str]) -> Problem:
    """The answer to a name that is not served."""
    return Problem(
        404,
        f"there is no experiment {name[:60]!r}; known: {', '.join(known) or 'none'}",
        remedy="use one of the known names, or add configs/experiments/<name>.yml and start the service again",
        known=list(known),
    )


def nothing_published(experiment: str) -> Problem:
    """The answer while an experiment has no generation."""
    return Problem(
        503,
        f"{experiment} has no generation yet",
        why="predictions are served from the last generation that was published and verified, and there is none",
        remedy=f"run `ok-ml run {experiment}`, or materialise its live_predictions in the Dagster UI",
        headers=_RETRY_AFTER,
    )
