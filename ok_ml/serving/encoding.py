"""From stored lists to JSON, fast: what stays the same within a generation is encoded once and then only joined.

A list of 50 sources as dictionaries costs 60 us to build and encode; joined from pieces it costs about 10.
Ids are strings: int64 beyond 2^53 breaks clients.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from ok_ml.columns import REASON_NAMES
from ok_ml.delivery.codec import LabelScores, Prediction, Source
from ok_ml.delivery.manifest import Answer, GenerationManifest

_NUMPY: Final = orjson.OPT_SERIALIZE_NUMPY
_ENDS: Final = [b',"reason":' + orjson.dumps(name) + b"}" for name in REASON_NAMES]
_UNNAMED: Final = (None, None)


class GenerationJson:
    """The JSON of one generation's answers.

    Attributes
    ----------
    generation
        Milliseconds since the epoch.
    """

    def __init__(self, experiment: str, manifest: GenerationManifest) -> None:
        self.generation = manifest.generation
        head = {"experiment": experiment, "generation": manifest.name, "model_version": str(manifest.model_version)}
        if not manifest.labels:
            head["scores"] = manifest.scores_are
        self._head = orjson.dumps(head)[:-1]
        self._sources: dict[int, bytes] = {}
        self._labels = manifest.labels

    def learn(self, answer: Answer) -> None:
        """Take over the names of every source of an answer that was read with names."""
        for served in (answer.fallback, *answer.lists):
            if served is not None:
                self._learn(served.source_ids.tolist(), answer.names)

    def _learn(self, source_ids: Sequence[int], names: Mapping[int, Source]) -> None:
        for source in source_ids:
            name, topic = names.get(source, _UNNAMED)
            start = orjson.dumps({"source_id": str(source), "name": name, "topic": topic})
            self._sources[source] = start[:-1] + b',"score":'

    def one(self, entity_id: int, answer: Answer, n: int | None) -> bytes:
        """The document for one entity. Raises KeyError if a source was not learned."""
        if self._labels:
            return b"%b,%b}" % (self._head, self._scores(entity_id, answer.scores[0]))
        return b"%b,%b}" % (self._head, self._entry(entity_id, answer.lists[0], answer.fallback, n))

    def many(self, entity_ids: Sequence[int], answer: Answer, n: int | None) -> bytes:
        """The document for a batch; `results` is parallel to the ids. Raises KeyError if a source was not learned."""
        fallback = answer.fallback
        if self._labels:
            scored = zip(entity_ids, answer.scores, strict=True)
            results = b"},{".join([self._scores(entity, found) for entity, found in scored])
        else:
            listed = zip(entity_ids, answer.lists, strict=True)
            results = b"},{".join([self._entry(entity, served, fallback, n) for entity, served in listed])
        return b'%b,"results":[%b]}' % (self._head, b"{%b}" % results if results else b"")

    def _scores(self, entity_id: int, found: LabelScores | None) -> bytes:
        """What the model says of one text: every label's probability, and the label that it decides for."""
        known = found is not None
        scores = dict(zip(self._labels, found.scores.tolist(), strict=True)) if found is not None else {}
        decided = self._labels[found.decided] if found is not None and found.decided >= 0 else None
        said = {"entity_id": str(entity_id), "known": known, "decided": decided, "labels": scores}
        return orjson.dumps(said)[1:-1]

    def _entry(
        self, entity_id: int, prediction: Prediction | None, fallback: Prediction | None, n: int | None
    ) -> bytes:
        served = fallback if prediction is None else prediction
        assert served is not None  # noqa: S101 - every generation of lists has a fallback
        marked = b"true" if prediction is None or prediction.is_fallback else b"false"
        return b'"entity_id":"%d","fallback":%b,"predictions":[%b]' % (entity_id, marked, self._list(served, n))

    def _list(self, served: Prediction, n: int | None) -> bytes:
        sources = self._sources
        scores = orjson.dumps(served.scores[:n], option=_NUMPY)[1:-1].split(b",")
        rows = zip(served.source_ids[:n].tolist(), scores, served.reasons[:n].tolist(), strict=False)
        return b",".join([sources[source] + score + _ENDS[reason] for source, score, reason in rows])
