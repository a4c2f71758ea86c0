"""What the first page shows: the list of one user exactly as the storage serves it, and why in short."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import orjson

from ok_ml.delivery.payloads import LABELS
from ok_ml.serving.problems import Problem
from ok_ml.serving.readers import Readers, answered, nothing_published
from ok_ml.serving.requests import entity_id

REASON_WORDS: Final = {
    "taste": "close to your taste",
    "popular": "popular now",
    "similar": "similar to what you like",
    "friends": "friends are subscribed",
    "fallback": "popular list: no history yet",
}
_EXAMPLES: Final = 8


@dataclass(frozen=True)
class ReasonShare:
    """How many of a list have one reason; start and width in percent of the whole list."""

    reason: str
    count: int
    start: float
    width: float


@dataclass
class HomeView:
    """Everything that the page shows.

    Attributes
    ----------
    answer
        The document that /v1/predictions gives for this user, or None.
    problem
        Why there is none, if it was asked for.
    details
        What the publisher said about the generation.
    """

    experiments: Sequence[str]
    experiment: str
    user: str = ""
    examples: Sequence[int | str] = ()
    answer: dict[str, Any] | None = None
    problem: Problem | None = None
    generation_age_seconds: float | None = None
    details: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> list[tuple[str, float]]:
        """Label and probability, the likeliest first; empty where lists are served."""
        return sorted(self.answer.get("labels", {}).items(), key=lambda one: -one[1]) if self.answer else []

    @property
    def is_of_texts(self) -> bool:
        """Whether label scores of texts are served, not lists of users."""
        return LABELS in self.details

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """The list, best first; empty where label scores are served."""
        return self.answer.get("predictions", []) if self.answer else []

    @property
    def shares(self) -> list[ReasonShare]:
        """The list by reason, most frequent first; empty if all of it is the fallback list."""
        counts = Counter(str(prediction["reason"]) for prediction in self.predictions)
        if set(counts) <= {"fallback"}:
            return []
        ordered = counts.most_common()
        starts = accumulate((count for _, count in ordered), initial=0)
        unit = 100.0 / counts.total()
        return [
            ReasonShare(reason, count, start * unit, count * unit)
            for (reason, count), start in zip(ordered, starts, strict=False)
        ]

    @cached_property
    def score_range(self) -> tuple[float, float]:
        """The lowest and the highest score of the list."""
        scores = [prediction["score"] for prediction in self.predictions]
        return min(scores, default=0.0), max(scores, default=0.0)

    def bar(self, score: float) -> float:
        """Length of a score's bar, percent."""
        low, high = self.score_range
        return 100.0 if high <= low else 5.0 + 95.0 * (score - low) / (high - low)


def home_view(readers: Readers, experiment: str, user: str, first_examples: Sequence[int]) -> HomeView:
    """Look a user up; whatever goes wrong is part of the page. `first_examples` are offered before the storage's own."""
    view = HomeView(readers.experiments, experiment, user)
    try:
        reader = readers.reader(experiment)
        manifest = answered(reader.describe)
        if manifest is None:
            raise nothing_published(experiment)
        view.generation_age_seconds = max(0.0, time.time() - manifest.sealed_at)
        view.details = manifest.details
        known = answered(lambda: reader.example_ids(_EXAMPLES))
        view.examples = list(dict.fromkeys([*first_examples, *known]))[:_EXAMPLES]
        if user:
            view.answer = orjson.loads(readers.one(experiment, entity_id(user), None))
    except Problem as problem:
        view.problem = problem
    return view
