"""What is recorded about a sealed generation, and what a reader gets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ok_ml import columns as c
from ok_ml.delivery.codec import LabelScores, Prediction, Source
from ok_ml.delivery.control import Control, hex_checksum
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.payloads import LABELS, SCORES_ARE
from ok_ml.errors import IntegrityError


@dataclass(frozen=True)
class GenerationManifest:
    """A complete, verified generation.

    Attributes
    ----------
    controls
        The control record of the winning attempt of each part, by part.
    sealed_at
        Unix time, seconds.
    files
        What the backend needs to find its bytes unchanged, e.g. size and SHA-256.
    """

    experiment: str
    generation: int
    controls: tuple[Control, ...]
    sealed_at: float
    files: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How it is shown: ``20260105-101500-123``."""
        return generation_name(self.generation)

    @property
    def parts(self) -> int:
        """Number of parts."""
        return len(self.controls)

    @property
    def model_version(self) -> int:
        """Version of the model that made it."""
        return self.controls[0].model_version

    @property
    def details(self) -> dict[str, str]:
        """What the publisher said about it."""
        return self.controls[0].details

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What its label scores are of, in their order; empty where its predictions are lists."""
        return tuple(json.loads(self.details.get(LABELS, "[]")))

    @property
    def scores_are(self) -> str:
        """What the scores of its lists are, but for fallback lists: PROBABILITY or ORDER of columns."""
        return self.details.get(SCORES_ARE, c.ORDER)

    @cached_property
    def count(self) -> int:
        """Records of all parts, control records aside."""
        return sum(control.count for control in self.controls)

    @cached_property
    def predictions(self) -> int:
        """Entities with a list."""
        return sum(control.predictions for control in self.controls)

    @cached_property
    def sources(self) -> int:
        """Sources in the catalogue."""
        return sum(control.sources for control in self.controls)

    @cached_property
    def checksum(self) -> str:
        """Sum of the parts' checksums mod 2^64, 16 hex digits."""
        return hex_checksum(sum(int(control.checksum, 16) for control in self.controls))

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "GenerationManifest":
        """Read it again. Raises IntegrityError if it is not a manifest."""
        try:
            controls = tuple(Control(**control) for control in document["controls"])
            return cls(**{**document, "controls": controls})
        except (KeyError, TypeError) as error:
            raise IntegrityError(
                f"the manifest of a generation cannot be read: {error}",
                why="nothing says what its bytes should be",
                remedy="roll back to another generation, then publish again",
            ) from error


@dataclass(frozen=True)
class GenerationInfo:
    """One sealed generation as lists of generations show it.

    Attributes
    ----------
    is_withdrawn
        Whether it was rolled back from: it is not switched to again automatically.
    """

    manifest: GenerationManifest
    is_current: bool
    is_withdrawn: bool


@dataclass(frozen=True)
class Answer:
    """The answer to one request, whole from one generation.

    Attributes
    ----------
    lists
        Parallel to the entities asked for; None where the generation does not know one: serve `fallback`.
    fallback
        The list for unknown entities, of the same generation; None where predictions are no lists.
    names
        source id -> name and topic, of the same generation; empty unless asked for.
    scores
        In place of `lists` where predictions are label scores: parallel to the entities asked for.
    """

    manifest: GenerationManifest
    lists: Sequence[Prediction | None]
    fallback: Prediction | None
    names: Mapping[int, Source]
    scores: Sequence[LabelScores | None] = ()
