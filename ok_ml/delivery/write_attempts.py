"""Records of a partition, and how far each attempt at each part of a generation is."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ok_ml.delivery.codec import MAX_KEY_BYTES, PREFIX_BYTES, Kind, check_payload
from ok_ml.delivery.control import Control, hex_checksum
from ok_ml.delivery.kafka.consuming import Record
from ok_ml.delivery.storage import StagedGeneration
from ok_ml.errors import DataError


@dataclass
class Tally:
    """What was received of one attempt. `total` is the sum of hashes, `problem` why it can never verify."""

    count: int = 0
    total: int = 0
    last_key: str = ""
    problem: str = ""


@dataclass
class PartState:
    """How far one part of one generation is; stored with its data.

    Attributes
    ----------
    next_offset
        Everything before it is applied.
    tallies
        By attempt tag in hex.
    winner
        The control record of the attempt that verified.
    """

    next_offset: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    winner: Control | None = None

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "PartState":
        """Read it again."""
        winner = document["winner"]
        tallies = {
            tag: Tally(**{**tally, "total": int(tally["total"], 16)}) for tag, tally in document["tallies"].items()
        }
        return cls(document["next_offset"], tallies, Control(**winner) if winner else None)

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it: sums of 64 bits are hex."""
        document = asdict(self)
        for tally in document["tallies"].values():
            tally["total"] = hex_checksum(tally["total"])
        return document


class Stage:
    """A generation being filled: the backend's part and the states."""

    def __init__(self, staged: StagedGeneration) -> None:
        self.staged = staged
        self.parts = {part: PartState.from_json(state) for part, state in staged.states().items()}
        self.problems: dict[int, str] = {}

    def part(self, part: int) -> PartState:
        """The state of a part."""
        return self.parts.setdefault(part, PartState())

    @property
    def winners(self) -> list[Control]:
        """Verified control records, by part."""
        return [state.winner for _, state in sorted(self.parts.items()) if state.winner is not None]

    @property
    def is_complete(self) -> bool:
        """Whether every part has a winner."""
        winners = self.winners
        return bool(winners) and len(winners) == winners[0].parts


def runs_of(records: Sequence[Record]) -> Iterator[tuple[bytes, list[Record]]]:
    """Consecutive records with the same prefix."""
    run: list[Record] = []
    head = b""
    for record in records:
        start = record.value[:PREFIX_BYTES]
        if start != head and run:
            yield head, run
            run = []
        head = start
        run.append(record)
    if run:
        yield head, run


def problem_of(kind: Kind, record: Record, *, ascending: bool) -> str:
    """Why a record cannot be used, or nothing."""
    if not 0 < len(record.key) <= MAX_KEY_BYTES:
        return f"its key has {len(record.key)} bytes"
    if not ascending:
        return "its key is not greater than the one before"
    try:
        check_payload(kind, record.value)
    except DataError as error:
        return error.problem
    return ""
