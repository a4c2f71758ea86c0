"""From stored lists to JSON documents. Ids are strings: int64 beyond 2^53 breaks clients."""

from collections.abc import Mapping
from typing import Any, Final

from ok_ml.columns import REASON_NAMES
from ok_ml.delivery.codec import Prediction, Source
from ok_ml.delivery.manifest import Answer

_UNNAMED: Final = (None, None)
_SCORE_DIGITS: Final = 6


def one_answer(experiment: str, entity_id: int, answer: Answer, n: int | None) -> dict[str, Any]:
    """The document for one entity."""
    return {**_head(experiment, answer), **_entry(entity_id, answer.lists[0], answer, n)}


def many_answers(experiment: str, entity_ids: list[int], answer: Answer, n: int | None) -> dict[str, Any]:
    """The document for a batch; `results` is parallel to the ids asked for."""
    results = [_entry(entity, found, answer, n) for entity, found in zip(entity_ids, answer.lists, strict=True)]
    return {**_head(experiment, answer), "results": results}


def _head(experiment: str, answer: Answer) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "generation": answer.generation_name,
        "model_version": str(answer.model_version),
    }


def _entry(entity_id: int, found: Prediction | None, answer: Answer, n: int | None) -> dict[str, Any]:
    served = answer.fallback if found is None else found
    fallback = found is None or found.is_fallback
    return {"entity_id": str(entity_id), "fallback": fallback, "predictions": predictions(served, answer.names, n)}


def predictions(served: Prediction, names: Mapping[int, Source], n: int | None) -> list[dict[str, Any]]:
    """The entries of one list, best first, at most `n`; scores are rounded to six decimals."""
    rows = zip(served.source_ids[:n].tolist(), served.scores.tolist(), served.reasons.tolist(), strict=False)
    found = []
    for source, score, reason in rows:
        name, topic = names.get(source, _UNNAMED)
        found.append(
            {
                "source_id": str(source),
                "name": name,
                "topic": topic,
                "score": round(score, _SCORE_DIGITS),
                "reason": REASON_NAMES[reason],
            }
        )
    return found
