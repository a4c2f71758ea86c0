"""The dead-man's switch: a mark that Dagster's daemon renews, and what its absence means.

An alert is only sent by a process that lives. If the daemon, its code server or the whole machine is gone, nothing
runs and nothing complains: so the sensor `heartbeat` leaves a mark at every tick, and a watcher outside waits for it to go
missing, by asking `/deadman` or by waiting for the call that each tick makes.
"""

import contextlib
import http.client
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import orjson

from ok_ml.atomic_write import replace_file
from ok_ml.errors import ConfigError

FILE: Final = "heartbeat.json"
PING_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Heartbeat:
    """What one tick found.

    Attributes
    ----------
    at
        Unix time, seconds.
    newest_days
        Dataset -> its newest committed day.
    last_run
        The Dagster run that changed last: id, job, status, ended_at; empty without one.
    ping
        What became of the call outside; empty if no address is configured.
    """

    at: float
    newest_days: dict[str, str] = field(default_factory=dict)
    last_run: dict[str, Any] = field(default_factory=dict)
    ping: str = ""


@dataclass(frozen=True)
class Life:
    """Whether the heartbeat is there.

    Attributes
    ----------
    age_seconds
        None: there never was one.
    """

    alive: bool
    age_seconds: float | None
    limit_seconds: float
    message: str
    remedy: str
    beat: Heartbeat | None


def write_heartbeat(state_dir: Path, beat: Heartbeat) -> Path:
    """Replace `<state>/heartbeat.json` in one step."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / FILE
    replace_file(path, orjson.dumps(asdict(beat), option=orjson.OPT_INDENT_2))
    return path


def read_heartbeat(state_dir: Path) -> Heartbeat | None:
    """The last one; None if there is none, or it cannot be read."""
    with contextlib.suppress(OSError, orjson.JSONDecodeError, TypeError):
        return Heartbeat(**orjson.loads((state_dir / FILE).read_bytes()))
    return None


def life(state_dir: Path, limit_seconds: float, *, now: float | None = None) -> Life:
    """Whether the last heartbeat is younger than the limit."""
    beat = read_heartbeat(state_dir)
    remedy = "start it with `ok-ml ui`, or see its log below logs/ of the state folder (daemon.log, code.log)"
    if beat is None:
        text = "no heartbeat has ever come through Dagster's daemon"
        return Life(False, None, limit_seconds, text, remedy, None)
    age = max(0.0, (time.time() if now is None else now) - beat.at)
    if age <= limit_seconds:
        return Life(True, age, limit_seconds, f"the last heartbeat came {age:.0f} s ago", "", beat)
    text = (
        f"the last heartbeat came {age:,.0f} s ago, limit {limit_seconds:,.0f} s: Dagster's daemon does not tick, so no day is "
        "ingested, nothing retrains and no alert is sent"
    )
    return Life(False, age, limit_seconds, text, remedy, beat)


def address_outside(url_env: str | None) -> str | None:
    """The address to call at every tick, or None if the configuration names none.

    Raises
    ------
    ConfigError
        The variable is not set, or holds no http address.
    """
    if url_env is None:
        return None
    url = os.environ.get(url_env, "").strip()
    if not url.startswith(("http://", "https://")):
        raise ConfigError(
            f"heartbeat.url_env names {url_env}, which {'holds no http address' if url else 'is not set'}",
            why="no one outside would notice that everything here has stopped",
            remedy=f"export {url_env}=<address of the check>, or remove heartbeat.url_env",
        )
    return url


def ping(url: str, timeout_seconds: float = PING_SECONDS) -> str:
    """Call the address outside; returns "ok", or in few words what went wrong. The address itself is a secret."""
    try:
        with urlopen(Request(url, headers={"user-agent": "ok-ml"}), timeout=timeout_seconds) as answer:  # noqa: S310 - http only
            return "ok" if answer.status < 300 else f"answered {answer.status}"
    except URLError as error:
        code = getattr(error, "code", None)
        return f"answered {code}" if code else f"does not answer: {type(error.reason).__name__}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"does not answer: {type(error).__name__}"
