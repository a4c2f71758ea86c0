"""What a feature is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Entity: TypeAlias = Literal["user", "source", "pair", "text"]
Family: TypeAlias = Literal["activity", "affinity", "popularity", "recency", "social", "content"]
Window: TypeAlias = Literal["activity_days", "affinity_days", "popularity_days"]
Judged: TypeAlias = Literal["level", "change", "entity", "none"]

OWNER: Final = "discovery@example.org"
NEVER: Final = 999.0  # days since something that did not happen in the window


class Framed(Protocol):
    """Some entities, with what several features read of them."""

    def over(self, window: Any, /) -> Any:
        """The same, looking back over one window."""


@dataclass(frozen=True)
class Feature:
    """One number for each user, source or pair on each day, with everything that a reader needs to know of it.

    Attributes
    ----------
    name
        Unique, begins with the entity; the column of the table and of the model.
    description
        One sentence.
    unit
        What 1.0 means.
    window
        The field of FeaturesStage that says how many days it looks back; None for a snapshot.
    absent
        Value of an entity without a row, and where the computation has nothing to tell (NaN).
    range
        Least and largest value that checks allow; None does not limit.
    judged
        How its distribution is judged. level: against the reference, and for a jump. change: for a jump from the days before
        only, since it grows or ages by definition. entity: each entity against itself on the day before, since it moves by
        the calendar. none: ranges and nulls only.
    why
        Why it is not judged by its level.
    value
        Frame of n entities -> float64 [n]; frames.py lists what a frame offers.
    """

    name: str
    entity: Entity
    family: Family
    description: str
    unit: str
    window: Window | None
    absent: float
    range: tuple[float | None, float | None]
    value: "Callable[[Any], NDArray[np.float64]]"
    owner: str = OWNER
    judged: Judged = "level"
    why: str = ""

    def compute(self, frame: "Framed") -> "NDArray[np.float32]":
        """The values of a frame's entities, float32 [n], without NaN."""
        values = self.value(frame.over(self.window))
        return np.where(np.isnan(values), self.absent, values).astype(np.float32)
