"""How the models of a pipeline type are compared: all of them answer one question, on cases that none of them saw."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ok_ml.lake import Manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport

A = TypeVar("A")


class Evaluator(ABC, Generic[A]):
    """One question. `A` is what a model answers: its lists, its scores.

    Attributes
    ----------
    challenger
        The newest model's name in the report.
    floor
        The baseline whose metric the gate multiplies.
    """

    challenger: str
    floor: str

    @property
    @abstractmethod
    def cases(self) -> int:
        """How many cases there are: users, texts."""

    @property
    @abstractmethod
    def about(self) -> str:
        """What is judged, in words: ``1,234 users with something new to find on 2026-01-29 .. 2026-01-31``."""

    @property
    @abstractmethod
    def nothing(self) -> str:
        """What is said where there is no case."""

    @property
    def judged_by(self) -> str:
        """What the judgement rests on, in words; empty where the cases say it all."""
        return ""

    @abstractmethod
    def newest(self) -> A:
        """The newest model's answers."""

    def newest_of(self, other: "Evaluator[A]") -> A | None:
        """What the newest model of other settings, trained on the same days, answers; None where it cannot answer."""
        return other.newest()

    @abstractmethod
    def champion(self, manifest: Manifest) -> A | None:
        """The champion's answers, as if it had not seen the cases; None where it can not be asked any more."""

    @abstractmethod
    def baselines(self) -> Iterable[tuple[str, A]]:
        """Name and answers of each baseline, the floor among them."""

    @abstractmethod
    def floor_answers(self) -> A:
        """The answers of the floor alone."""

    @abstractmethod
    def pairs(self, models: Sequence[str]) -> list[tuple[str, str]]:
        """Which of the models are compared with one another."""

    @abstractmethod
    def report(self, answers: dict[str, A], pairs: Sequence[tuple[str, str]]) -> "EvaluationReport":
        """Judge answers."""

    @abstractmethod
    def by_case(self, answers: A) -> "tuple[str, NDArray[np.float64]]":
        """The metric of the gate, or the nearest one that belongs to a single case, and its value of each case."""

    @abstractmethod
    def plots(self, report: "EvaluationReport") -> dict[str, Path]:
        """Pictures of a report."""
