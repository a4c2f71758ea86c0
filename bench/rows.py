"""One line of a result: a number beside a peer's."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A number, and the same number of a peer or a limit that was measured in the same run.

    Attributes
    ----------
    unit
        Ends in ``/s`` where more is better, ``us`` (microseconds) and ``MiB`` where less is.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float

    @property
    def ratio(self) -> float:
        """The number in units of the peer's."""
        return self.value / self.peer_value

    def as_json(self) -> dict[str, Any]:
        """The row as programs read it: six fields, numbers with four significant digits."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": _rounded(self.peer_value),
            "ratio": _rounded(self.ratio),
        }


def rate_rows(name: str, unit: str, count: float, seconds: dict[str, float], ours: str = "ours") -> list[Row]:
    """A row for every peer of a race over the same work.

    Parameters
    ----------
    count
        Units of work in one round.
    seconds
        Best time of each contestant; every one but `ours` is a peer.
    """
    mine = count / seconds[ours]
    return [Row(name, mine, unit, peer, count / taken) for peer, taken in seconds.items() if peer != ours]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
