"""What the predictions of a pipeline are: ranked lists of sources, scores of labels, ...

A kind says once how such predictions are counted, judged, drawn and delivered. Checks, publication, `get`, the HTTP API and the
monitoring page ask it and know no kind by name.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ok_ml.lake import Lake, Manifest
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import LISTS_VERDICT, Verdict, verdict_of

if TYPE_CHECKING:
    from ok_ml.delivery.payloads import Payload

LISTS: Final = "lists"  # kind of the findings of a look at predictions, whatever their kind


@dataclass(frozen=True)
class Limit:
    """A limit of one statistic of the newest predictions.

    Attributes
    ----------
    side
        Whether the limit is the smallest value or the largest.
    always
        Whether it holds predictions back also while nothing is served yet.
    as_served
        Whether predictions may be beyond it where those that are served are too: the catalogue made it so, not a fault.
    warns
        Whether it never holds predictions back.
    """

    metric: str
    side: Literal["least", "most"]
    limit: float
    always: bool = False
    as_served: bool = False
    warns: bool = False

    def holds(self, value: float | None) -> bool:
        """Whether a value keeps it; an unknown one does."""
        return value is None or (operator.ge if self.side == "least" else operator.le)(value, self.limit)

    def __str__(self) -> str:
        return f"at {self.side} {self.limit:g}"


def fault_verdict(
    lake: Lake, experiment: str, dt: str, facts: str, faults: Mapping[str, int], **numbers: int
) -> Verdict:
    """What a look at a day's predictions says of them: a finding that blocks for each fault that they have.

    Parameters
    ----------
    facts
        What was looked at, the beginning of the headline.
    faults
        Fault -> how often.
    numbers
        What else was counted.
    """
    wrong = {name: f"{count:,}" for name, count in faults.items() if count}
    told = ", ".join(f"{count} {name}" for name, count in wrong.items()) or "nothing wrong"
    headline, kind = f"{facts}: {told}", {"kind": LISTS}
    findings = [
        replace(Finding.told(f"{LISTS}: {name}", "block", f"{count} {name}", dt, **kind), expected="0", seen=count)
        for name, count in wrong.items()
    ] or [replace(Finding.told(LISTS, "block", headline, dt, **kind), passed=True)]
    verdict = verdict_of(lake, experiment, LISTS_VERDICT, dt, findings)
    counted = {name.replace(" ", "_"): count for name, count in faults.items()}
    return replace(verdict, headline=headline, numbers={**numbers, **counted})


class PredictionKind(ABC):
    """A kind of predictions. `Any` stands for the pipelines that have it."""

    name: str
    what: str
    """Several of them, in a sentence: lists, label scores."""
    check: str
    """Name of the check that looks at them."""
    promise: str
    """What that check asks for, a sentence."""

    @abstractmethod
    def look(self, pipeline: Any) -> Verdict:
        """What whoever reads the newest predictions would notice at once: see `fault_verdict`."""

    @abstractmethod
    def count(self, pipeline: Any, *, progress: Callable[[str], None]) -> Manifest:
        """Commit the numbers of the newest predictions: `prediction_statistics`."""

    @abstractmethod
    def limits(self, pipeline: Any) -> Iterator[Limit]:
        """What the numbers must keep."""

    @abstractmethod
    def plots(self, pipeline: Any) -> dict[str, Path]:
        """Pictures of the numbers by day; none before the first day."""

    @abstractmethod
    def payload(self, pipeline: Any, predictions: Manifest) -> "Payload":
        """How they travel, with what readers need in addition."""

    @abstractmethod
    def example(self, pipeline: Any, dt: str) -> str:
        """The id of an entity with a prediction of its own."""
