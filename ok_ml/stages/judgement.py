"""What a check that looks at one thing found."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Judgement:
    """Whether something holds, in words and numbers.

    Attributes
    ----------
    wrong
        What is wrong -> how often.
    """

    passed: bool
    message: str
    numbers: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
