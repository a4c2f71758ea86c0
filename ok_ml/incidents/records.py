"""What the store keeps: incidents, the signals that belong to each, and messages on their way."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from ok_ml.incidents.signals import Asset, Kind, Severity, Signal, worst

_LONGEST_DETAIL: Final = 4000  # characters; a message is something to read, and a line of the file stays short

Event = Literal["opened", "reopened", "escalated", "repeated", "closed"]


def told_by(signal: Signal) -> dict[str, Any]:
    """What an incident and its member take over from a signal."""
    names = ("key", "kind", "severity", "owner", "title", "detail", "link", "asset")
    return {name: getattr(signal, name) for name in names}


@dataclass
class Member:
    """A signal of an incident: the first cause gives it its name, the others are its consequences.

    Attributes
    ----------
    since
        Seconds since 1970 at which it began, as far as known.
    passed_at
        Seconds since 1970 at which it was good again; None while it is wrong.
    """

    key: str
    kind: Kind
    severity: Severity
    owner: str | None
    title: str
    detail: str
    link: str | None
    asset: Asset | None
    since: float
    first_seen_at: float
    last_seen_at: float
    passed_at: float | None = None

    @classmethod
    def of(cls, signal: Signal, now: float) -> "Member":
        """A signal that is seen for the first time."""
        since = signal.since if signal.since is not None else now
        return cls(**told_by(signal), since=since, first_seen_at=now, last_seen_at=now, passed_at=signal.until)

    def see(self, signal: Signal, now: float) -> None:
        """It is wrong again, or still."""
        if self.passed_at is not None and signal.since is not None:
            self.since = signal.since
        self.severity, self.owner, self.asset = signal.severity, signal.owner, signal.asset or self.asset
        self.title, self.detail, self.link = signal.title, signal.detail, signal.link
        self.last_seen_at, self.passed_at = now, signal.until


@dataclass
class Incident:
    """One cause and everything that follows from it.

    Attributes
    ----------
    key, kind, owner, title, detail, link, asset
        Those of the first cause: the signal that opened it, until one is seen from which that one follows.
    severity
        The worst of its signals so far.
    opened_at, last_seen_at, closed_at, acknowledged_at, muted_until, told_at
        Seconds since 1970; `told_at` is that of the last message.
    repeats
        Repetitions since it was opened or opened again.
    episodes
        How often it was opened, the first time included.
    day_seconds
        Wall seconds of one day of its data.
    """

    id: str
    key: str
    kind: Kind
    severity: Severity
    owner: str | None
    title: str
    detail: str
    link: str | None
    asset: Asset | None
    day_seconds: float
    opened_at: float
    last_seen_at: float
    told_at: float
    closed_at: float | None = None
    acknowledged_by: str | None = None
    acknowledged_at: float | None = None
    muted_until: float | None = None
    repeats: int = 0
    episodes: int = 1
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it still lasts."""
        return self.closed_at is None

    @property
    def failing(self) -> list[Member]:
        """Its signals that are wrong now."""
        return [member for member in self.members.values() if member.passed_at is None]

    @property
    def consequences(self) -> list[Member]:
        """Its signals besides the first cause, in the order in which they came."""
        return [member for key, member in self.members.items() if key != self.key]

    @property
    def owners(self) -> set[str]:
        """Whom it concerns."""
        return {member.owner for member in self.members.values() if member.owner}

    @property
    def worst_severity(self) -> Severity:
        """The worst severity of what is wrong now or was before."""
        return worst([self.severity, *(member.severity for member in self.members.values())])

    def lead_by(self, cause: Member) -> None:
        """Name it by one of its signals."""
        self.key, self.kind, self.owner, self.asset = cause.key, cause.kind, cause.owner, cause.asset
        self.title, self.detail, self.link = cause.title, cause.detail, cause.link

    def is_muted(self, now: float) -> bool:
        """Whether it was muted itself."""
        return self.muted_until is not None and self.muted_until > now


@dataclass(frozen=True)
class Message:
    """One event of one incident on its way to one channel.

    Attributes
    ----------
    seq
        Order within the channel.
    id
        ``<incident>/<event>``, with a number where an event comes again: the same in every channel.
    attempts
        How often sending was begun.
    position
        Where the topic ended before sending was begun; None before that.
    """

    seq: int
    id: str
    incident: str
    channel: str
    body: dict[str, Any]
    attempts: int = 0
    due_at: float = 0.0
    position: int | None = None
    problem: str | None = None


def iso(at: float | None) -> str | None:
    """Seconds since 1970 as ISO text in UTC, to the millisecond."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def described(incident: Incident) -> dict[str, Any]:
    """What messages, commands and pages alike say of an incident."""
    return {
        "severity": incident.severity,
        "kind": incident.kind,
        "key": incident.key,
        "title": incident.title,
        "detail": incident.members[incident.key].detail,
        "link": incident.link,
        "owner": incident.owner,
        "owners": sorted(incident.owners),
        "asset": "/".join(incident.asset) if incident.asset else None,
        "opened_at": iso(incident.opened_at),
        "closed_at": iso(incident.closed_at),
        "repeats": incident.repeats,
        "episodes": incident.episodes,
        "acknowledged_by": incident.acknowledged_by,
    }


def document(incident: Incident, event: Event, number: int, now: float, *, muted: bool) -> dict[str, Any]:
    """What every channel is sent: one line of the file, one record of the topic."""
    told = described(incident)
    return {
        "id": message_id(incident.id, event, number),
        "incident": incident.id,
        "event": event,
        "at": iso(now),
        **told,
        "detail": told["detail"][:_LONGEST_DETAIL],
        "muted": muted,
        "consequences": [
            {"key": one.key, "title": one.title, "passed": one.passed_at is not None} for one in incident.consequences
        ],
    }


def message_id(incident: str, event: Event, number: int) -> str:
    """``<incident>/<event>``; the second closing is ``closed-2``."""
    is_once = event in ("opened", "escalated") or (number == 1 and event == "closed")
    return f"{incident}/{event}" if is_once else f"{incident}/{event}-{number}"
