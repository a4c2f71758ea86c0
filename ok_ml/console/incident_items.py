"""Open incidents as parts of the health: they stand before everything else."""

import sqlite3
import time
from typing import Any, Final

from ok_ml.config.models import Project
from ok_ml.console.health import INCIDENT, StatusItem
from ok_ml.errors import OkMlError
from ok_ml.incidents.records import Incident
from ok_ml.incidents.shown import state_of
from ok_ml.incidents.store import Store

_FROM_INCIDENT: Final = {"error": "fail", "warn": "warn"}


def incident_items(project: Project) -> list[StatusItem]:
    """One item for each open incident; its age is how long it lasts."""
    now = time.time()
    try:
        with Store.of(project.state_dir).reading() as transaction:
            incidents = [(one, transaction.is_muted(one, now)) for one in transaction.open_incidents()]
    except (OkMlError, sqlite3.Error) as error:
        message = f"the incidents cannot be read: {str(error).splitlines()[0]}"
        return [StatusItem("incidents.db", "collector", "unknown", message=message)]
    return [incident_item(incident, now, muted=muted) for incident, muted in incidents]


def incident_item(incident: Incident, now: float, *, muted: bool) -> StatusItem:
    """One open incident."""
    state: Any = _FROM_INCIDENT[incident.severity]
    age = max(0.0, now - incident.opened_at)
    return StatusItem(
        incident.title, INCIDENT, state, age, incident.owner, _message(incident, muted=muted), incident.link
    )


def _message(incident: Incident, *, muted: bool) -> str:
    parts = [incident.members[incident.key].detail.split("\n", 1)[0]]
    following = len(incident.consequences)
    if following:
        parts.append(f"{following} consequence{'s' if following > 1 else ''}")
    match state_of(incident, muted=muted):
        case "acknowledged":
            parts.append(f"acknowledged by {incident.acknowledged_by}")
        case "muted":
            parts.append("muted")
    return "; ".join([*filter(None, parts), f"`ok-ml incidents show {incident.id}`"])
