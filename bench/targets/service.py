"""The HTTP service: one list and a thousand lists, at full load and one request at a time.

The peer is the smallest granian server, in the same minute, with one worker as ours: it answers the bytes of one of our
answers without looking for them. One process generates the load, on the same CPUs.
"""

import http.client
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from bench.made_up import GENERATION, MadeUp, load_generation, made_up, stored_records
from bench.processes import HOST, free_ports, running
from bench.rows import Row
from bench.targets import Settings
from ok_ml.config.loader import load_project
from ok_ml.config.models import StorageConfig
from ok_ml.delivery.storage import open_store
from ok_ml.errors import ServiceUnavailable

PEER = "granian, constant body"
CONNECTIONS, BATCH = 16, 1000


@dataclass(frozen=True)
class _Load:
    """One kind of load: what is sent, over how many connections, for how long."""

    requests: Path
    connections: int
    seconds: float

    def on(self, port: int) -> dict[str, float]:
        """Put it on a server and read what came of it."""
        command = [sys.executable, "-m", "bench.load", "--port", str(port), "--requests", str(self.requests)]
        command += ["--connections", str(self.connections), "--seconds", str(self.seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=self.seconds + 30)
        found: dict[str, float] = orjson.loads(done.stdout)
        return found


def measure(settings: Settings) -> list[Row]:
    """Requests a second and latencies."""
    made = made_up(settings.size(50_000, 5_000), settings.seed)
    state = settings.folder / "state"
    experiment = _publish(settings, state, made)
    users = np.random.default_rng(settings.seed).choice(made.users, 10 * BATCH).astype(str).tolist()
    ours, peer = free_ports(2)
    single, batch = _requests(experiment, users)
    with ExitStack() as stack:
        served, log = ["--root", str(settings.root), "--port", str(ours)], settings.folder / "ours.log"
        stack.enter_context(running("bench.served", served, ours, log, {"OK_ML_STATE": str(state)}))
        bodies = [ask(ours, text) for text in (single[0], *batch)]  # asked for every list once: names are known
        constant = ["--port", str(peer), "--single", str(_saved(settings, "single.body", bodies[0]))]
        constant += ["--batch", str(_saved(settings, "batch.body", bodies[1]))]
        stack.enter_context(running("bench.constant_app", constant, peer, settings.folder / "peer.log"))
        rows = _rows(settings, "one list", _Load(_file(settings, "single", single), CONNECTIONS, 1.2), (ours, peer))
        return rows + _rows(settings, f"{BATCH:,} lists", _Load(_file(settings, "batch", batch), 2, 2.4), (ours, peer))


def _publish(settings: Settings, state: Path, made: MadeUp) -> str:
    """Put a generation into the local storage of a state of its own; returns the experiment."""
    project = load_project(settings.root, environment="local")
    experiment = min(project.experiments)
    store = open_store(StorageConfig(backend="lmdb", path=str(state / "storage")))
    load_generation(store, stored_records(made, experiment, GENERATION), GENERATION)
    store.close()
    return experiment


def _requests(experiment: str, users: list[str]) -> tuple[list[str], list[str]]:
    """Requests for one list each, and for a thousand each."""
    head, path = f"HTTP/1.1\r\nHost: {HOST}\r\n", f"/v1/predictions/{experiment}"
    single = [f"GET {path}/{user} {head}\r\n" for user in users]
    bodies = [
        orjson.dumps({"entity_ids": users[start : start + BATCH]}).decode() for start in range(0, len(users), BATCH)
    ]
    return single, [f"POST {path} {head}Content-Length: {len(body)}\r\n\r\n{body}" for body in bodies]


def ask(port: int, request: str) -> bytes:
    """The body of one answer."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(request.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
    if response.status != 200:
        raise ServiceUnavailable(
            f"the service answers {response.status}: {body[:300]!r}", why="there is nothing to measure"
        )
    return body


def _saved(settings: Settings, name: str, content: bytes) -> Path:
    path = settings.folder / name
    path.write_bytes(content)
    return path


def _file(settings: Settings, name: str, requests: list[str]) -> Path:
    return _saved(settings, f"{name}.json", orjson.dumps(requests))


def _rows(settings: Settings, name: str, load: _Load, ports: tuple[int, int]) -> list[Row]:
    full = replace(load, seconds=load.seconds / settings.size(1, 6))
    ours, peer = _best(settings, full, ports)
    calm, peer_calm = _best(settings, replace(full, connections=1), ports)
    return [
        Row(f"{name}, {load.connections} connections", ours["rate"], "requests/s", PEER, peer["rate"]),
        Row(f"{name}, one at a time, p50", calm["p50_us"], "us", PEER, peer_calm["p50_us"]),
        Row(f"{name}, one at a time, p99", calm["p99_us"], "us", PEER, peer_calm["p99_us"]),
    ]


def _best(settings: Settings, load: _Load, ports: tuple[int, int]) -> list[dict[str, float]]:
    """The best of every number of each server; they take turns."""
    rounds = [[load.on(port) for port in ports] for _ in range(settings.repeats)]
    return [
        {
            "rate": max(found["requests"] / found["seconds"] for found in mine),
            **{name: min(found[name] for found in mine) for name in ("p50_us", "p99_us")},
        }
        for mine in zip(*rounds, strict=True)
    ]
