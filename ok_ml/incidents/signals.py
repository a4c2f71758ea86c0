"""A signal: one thing that is wrong, as some source sees it. Several signals of one cause make one incident."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Kind = Literal["process", "heartbeat", "check", "freshness", "run"]
Severity = Literal["warn", "error"]
Asset = tuple[str, str]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)  # causes before what follows from them
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that is wrong.

    Attributes
    ----------
    key
        The same thing has the same key as long as it is wrong, and when it is wrong again: ``check:<asset>:<name>``,
        ``freshness:<asset>``, ``run:<job or first asset>``, ``process:<name>``, ``heartbeat:<name>``.
    title
        One line without a period: what is wrong.
    detail
        What was expected and seen, and how to look further; may have several lines.
    asset
        Scope and table where it is seen; consequences are found along the lineage from it.
    since
        Seconds since 1970 at which it began.
    until
        Seconds since 1970 at which it was over: it began and ended between two looks. None while it lasts.
    causes
        Keys of signals from which it follows, where that is known.
    day_seconds
        Wall seconds of one day of its data; the schedule of messages shrinks with it.
    """

    key: str
    kind: Kind
    severity: Severity
    owner: str | None
    title: str
    detail: str = ""
    link: str | None = None
    asset: Asset | None = None
    since: float | None = None
    until: float | None = None
    causes: tuple[str, ...] = ()
    day_seconds: float = DAY_SECONDS


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of some severities; "warn" without any."""
    return max(severities, key=SEVERITIES.index, default="warn")


@dataclass(frozen=True)
class Lineage:
    """Which asset is made from which.

    Attributes
    ----------
    parents
        Asset -> the assets that it is made from.
    describes
        Asset -> those of which it tells: a check of the statistics of events describes events, and everything that is made
        from events follows from it.
    """

    parents: Mapping[Asset, Collection[Asset]] = field(default_factory=dict)
    describes: Mapping[Asset, Collection[Asset]] = field(default_factory=dict)
    _ancestors: dict[Asset, frozenset[Asset]] = field(default_factory=dict, compare=False)

    def depth(self, asset: Asset | None) -> int:
        """A number that grows along the lineage: how many assets are upstream."""
        return 0 if asset is None else max(len(self._upstream(one)) for one in self._meant(asset))

    def follows(self, asset: Asset | None, cause: Asset | None) -> bool:
        """Whether `asset` is `cause` or downstream of it."""
        if asset is None or cause is None:
            return False
        causes = self._meant(cause)
        return any(child in causes or causes & self._upstream(child) for child in self._meant(asset))

    def _meant(self, asset: Asset) -> frozenset[Asset]:
        return frozenset({asset, *self.describes.get(asset, ())})

    def _upstream(self, asset: Asset) -> frozenset[Asset]:
        if asset not in self._ancestors:
            assets, waiting = set[Asset](), list(self.parents.get(asset, ()))
            while waiting:
                one = waiting.pop()
                if one not in assets:
                    assets.add(one)
                    waiting += self.parents.get(one, ())
            self._ancestors[asset] = frozenset(assets - {asset})
        return self._ancestors[asset]


def in_order(signals: Iterable[Signal], lineage: Lineage) -> list[Signal]:
    """Causes before consequences: by kind, then along the lineage; equal input gives equal order."""
    return sorted(signals, key=lambda one: (KINDS.index(one.kind), lineage.depth(one.asset), one.since or 0.0, one.key))
