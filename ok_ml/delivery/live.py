"""Waiting until a generation is served."""

import time
from typing import Any, Final

from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.storage import PredictionStore
from ok_ml.errors import IntegrityError, ServiceUnavailable, Stale

HEARTBEAT_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.1


def wait_until_live(
    store: PredictionStore, experiment: str, generation: int, timeout_seconds: float
) -> GenerationManifest:
    """Block until the storage serves a generation; returns what it verified.

    Raises
    ------
    IntegrityError
        The storage refused it; says why, at once.
    Stale
        It is not served within the time although the materialiser works, or a newer one is served.
    ServiceUnavailable
        No materialiser is at work.
    """
    started = time.monotonic()
    while True:
        manifest = _served(store, experiment, generation)
        if manifest is not None:
            return manifest
        waited = time.monotonic() - started
        status = store.read_document(experiment, "status") or {}
        _raise_refusal(experiment, generation, status)
        if waited >= timeout_seconds or (waited >= HEARTBEAT_SECONDS and _is_silent(status)):
            raise _too_late(experiment, generation, status, waited)
        time.sleep(_PAUSE_SECONDS)


def _served(store: PredictionStore, experiment: str, generation: int) -> GenerationManifest | None:
    current = store.current(experiment)
    if current is None or current < generation:
        return None
    if current > generation:
        raise Stale(
            f"{experiment} serves {generation_name(current)}, newer than {generation_name(generation)}",
            why="a publication that was overtaken never goes live",
            remedy=f"the next run publishes again automatically: `ok-ml run {experiment}`",
        )
    return next((manifest for manifest in store.sealed(experiment) if manifest.generation == generation), None)


def _raise_refusal(experiment: str, generation: int, status: dict[str, Any]) -> None:
    for refusal in status.get("refused", []):
        if refusal["generation"] == generation:
            raise IntegrityError(
                f"the storage refused generation {generation_name(generation)} of {experiment}: {refusal['reason']}",
                why="the last good generation is still served",
                remedy="fix the cause named there, then publish again",
            )


def _too_late(experiment: str, generation: int, status: dict[str, Any], waited: float) -> Stale | ServiceUnavailable:
    name, age = generation_name(generation), time.time() - float(status.get("updated_at", 0.0))
    if _is_silent(status):
        last = f"its last heartbeat is {age:.0f} s old" if status else "it never wrote a heartbeat"
        return ServiceUnavailable(
            f"no materialiser works on {experiment} ({last}); generation {name} is not served after {waited:.0f} s",
            why="predictions stay in the topic",
            remedy="start it: `make ui`, or `python -m ok_ml.local.services.materialiser_process --project .`",
        )
    done = next((one["parts_verified"] for one in status["loading"] if one["generation"] == generation), 0)
    return Stale(
        f"generation {name} of {experiment} is not served after {waited:.0f} s: {done} parts are verified, {status['lag']} records to come"
        + (f"; {status['trouble']}" if status.get("trouble") else ""),
        why="users are served the last good generation",
        remedy="see the materialiser's status; raise storage.live_timeout_seconds if it only needs longer",
    )


def _is_silent(status: dict[str, Any]) -> bool:
    """Whether no materialiser writes the heartbeat."""
    return bool(status.get("stopped")) or time.time() - float(status.get("updated_at", 0.0)) > HEARTBEAT_SECONDS
