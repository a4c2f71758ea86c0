"""The state of every part, as one list, worst first.

The service looks at what it can see itself (generations, materialiser, broker, Dagster). Whatever else somebody
watches arrives as `<state>/status.json`, written by `write_status`, for example by `ok-ml status`::

    {"written_at": "2026-11-23T10:00:00+00:00",
     "items": [{"name": "ok_world/events", "kind": "asset", "state": "ok", "age_seconds": 42.0,
                "owner": "data@example.org", "message": "12,345 rows", "link": null}]}

`state` is one of ok, warn, fail, unknown; `age_seconds` is counted at `written_at`.
"""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from ok_ml.whole_files import replace_file

State = Literal["ok", "warn", "fail", "unknown"]

STATES: Final[tuple[State, ...]] = ("fail", "warn", "unknown", "ok")  # worst first
STATUS_FILE: Final = "status.json"
INCIDENT: Final = "incident"
STALE_STATUS_SECONDS: Final = 15 * 60.0


@dataclass(frozen=True, slots=True)
class StatusItem:
    """One thing that is watched.

    Attributes
    ----------
    kind
        incident, generation, materialiser, service, run, asset, check, collector or daemon.
    age_seconds
        Seconds since it last did what it is there for; None if that is not known.
    message
        One sentence: value, limit and next step where there is a problem.
    link
        Where to look further, if there is such a page.
    """

    name: str
    kind: str
    state: State
    age_seconds: float | None = None
    owner: str | None = None
    message: str = ""
    link: str | None = None


def worst(items: Iterable[StatusItem]) -> State:
    """The worst state of all; an empty list is unknown."""
    return min((item.state for item in items), key=STATES.index, default="unknown")


def worst_first(items: Iterable[StatusItem]) -> list[StatusItem]:
    """Open incidents before everything else; each sorted by state, then oldest first, then by name."""
    return sorted(
        items,
        key=lambda item: (
            item.kind != INCIDENT, STATES.index(item.state), -(item.age_seconds or 0.0), item.kind, item.name,
        ),
    )  # fmt: skip


def report(items: Iterable[StatusItem]) -> dict[str, Any]:
    """The document of /health.json."""
    ordered = worst_first(items)
    counts = {state: sum(item.state == state for item in ordered) for state in STATES}
    return {
        "state": worst(ordered),
        "counts": counts,
        "written_at": datetime.now(UTC).isoformat(),
        "items": [asdict(item) for item in ordered],
    }


def write_status(state_dir: Path, items: Iterable[StatusItem]) -> Path:
    """Replace `<state>/status.json` in one rename; returns its path."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / STATUS_FILE
    replace_file(path, orjson.dumps(report(items), option=orjson.OPT_INDENT_2))
    return path


def read_status(state_dir: Path, *, now: float | None = None) -> list[StatusItem]:
    """The items that a collector left, with their ages carried on to now.

    A file that cannot be read, or is older than 15 minutes, is itself an item, so that silence is seen.
    """
    path = state_dir / STATUS_FILE
    try:
        document = orjson.loads(path.read_bytes())
        since = (time.time() if now is None else now) - datetime.fromisoformat(document["written_at"]).timestamp()
        items = [_aged(StatusItem(**item), since) for item in document["items"]]
    except FileNotFoundError:
        return []
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        return [StatusItem("status.json", "collector", "unknown", message=f"{path.name} cannot be read: {error}")]
    if since > STALE_STATUS_SECONDS:
        message = f"collected {in_words(since)} ago; run `ok-ml status` to look again"
        items.append(StatusItem("status.json", "collector", "warn", since, message=message))
    return items


def _aged(item: StatusItem, seconds: float) -> StatusItem:
    if item.state not in STATES:
        raise ValueError(f"state {item.state!r} of {item.name!r} is none of {', '.join(STATES)}")
    return item if item.age_seconds is None else replace(item, age_seconds=item.age_seconds + seconds)


def merged(*sources: Iterable[StatusItem]) -> list[StatusItem]:
    """Items of several sources; where two speak of the same thing the earlier source is believed."""
    found: dict[tuple[str, str], StatusItem] = {}
    for source in sources:
        for item in source:
            found.setdefault((item.kind, item.name), item)
    return list(found.values())


def in_words(seconds: float) -> str:
    """A duration for people: "42 s", "3 min", "5 h", "2 days"."""
    for limit, unit, name in ((90.0, 1.0, "s"), (90 * 60.0, 60.0, "min"), (36 * 3600.0, 3600.0, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"


def file_age_seconds(path: Path) -> float | None:
    """Seconds since a file was written, or None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return max(0.0, time.time() - path.stat().st_mtime)
    return None
