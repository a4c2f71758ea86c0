"""A load generator that costs little: ``python -m bench.load`` prints requests, seconds and latencies as JSON.

Each connection sends a request, waits for the whole answer and sends the next. Requests are bytes made beforehand and
answers are only measured, so that one Python process asks for more than one server can answer.
"""

import argparse
import selectors
import socket
import sys
import time
from itertools import cycle
from pathlib import Path

import orjson

_CHUNK = 1 << 20
_LENGTH = b"content-length:"


class Connection:
    """One kept-alive connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._missing, self._head = 0, b""

    def send(self, request: bytes) -> None:
        self._missing, self._head = -1, b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what is there; whether the answer is whole."""
        received = self.socket.recv(_CHUNK)
        if not received:
            raise ConnectionError("the server closed the connection")
        if self._missing >= 0:
            self._missing -= len(received)
        else:
            self._head += received
            self._missing = _missing(self._head)
        return self._missing == 0


def _missing(head: bytes) -> int:
    """Bytes to come, or -1 while the headers are not whole."""
    end = head.find(b"\r\n\r\n")
    if end < 0:
        return -1
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"refused: {head[:200]!r}")
    lowered = head[:end].lower()
    start = lowered.index(_LENGTH) + len(_LENGTH)
    length = int(lowered[start:].split(b"\r\n", 1)[0])
    return length + end + 4 - len(head)


def run(port: int, requests: list[bytes], connections: int, seconds: float) -> dict[str, float]:
    """Ask for some seconds, after a warm-up of a tenth of them."""
    following, selector, taken = cycle(requests), selectors.DefaultSelector(), list[float]()
    for _ in range(connections):
        connection = Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(following))
    now = time.perf_counter()
    begin, end = now + seconds / 10, now + seconds * 1.1
    while now < end or not taken:
        for key, _ in selector.select(1.0):
            if key.data.receive():
                now = time.perf_counter()
                if now > begin:
                    taken.append(now - key.data.sent_at)
                key.data.send(next(following))
        now = time.perf_counter()
    taken.sort()
    return {
        "requests": len(taken),
        "seconds": now - begin,
        "p50_us": 1e6 * taken[len(taken) // 2],
        "p99_us": 1e6 * taken[int(len(taken) * 0.99)],
    }


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser("bench.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True, help="JSON list of requests as text")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    requests = [text.encode() for text in orjson.loads(arguments.requests.read_bytes())]
    found = run(arguments.port, requests, arguments.connections, arguments.seconds)
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


if __name__ == "__main__":
    main()
