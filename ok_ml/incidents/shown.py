"""Incidents as commands and pages show them."""

from typing import Any

from ok_ml.errors import UsageError
from ok_ml.incidents.records import Incident, described, iso
from ok_ml.incidents.store import Transaction


def state_of(incident: Incident, *, muted: bool) -> str:
    """In one word: open, acknowledged, muted or closed."""
    if not incident.is_open:
        return "closed"
    if muted:
        return "muted"
    return "acknowledged" if incident.acknowledged_at is not None else "open"


def needs_attention(incident: Incident, *, muted: bool) -> bool:
    """Whether it is open, of severity error, and not acknowledged or muted."""
    return state_of(incident, muted=muted) == "open" and incident.severity == "error"


def to_json(incident: Incident, *, muted: bool) -> dict[str, Any]:
    """Everything that is known of an incident."""
    return {
        "id": incident.id,
        "state": state_of(incident, muted=muted),
        **described(incident),
        "last_seen_at": iso(incident.last_seen_at),
        "acknowledged_at": iso(incident.acknowledged_at),
        "muted_until": iso(incident.muted_until),
        "consequences": [
            {
                "key": one.key,
                "title": one.title,
                "detail": one.detail,
                "owner": one.owner,
                "link": one.link,
                "since": iso(one.since),
                "passed_at": iso(one.passed_at),
            }
            for one in incident.consequences
        ],
    }


def the_one(transaction: Transaction, part: str) -> Incident:
    """The incident whose id is, begins with or ends with a text.

    Raises
    ------
    UsageError
        There is none, or there are several.
    """
    matches = transaction.named(part)
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UsageError(f"no incident named {part!r}", remedy="ok-ml incidents list --all shows their ids")
    some = ", ".join(one.id for one in matches[:5])
    raise UsageError(f"{part!r} could be {len(matches)} incidents: {some}", remedy="give more of the id")
