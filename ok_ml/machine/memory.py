"""How much memory a process and everything below it takes, sampled while it works."""

import contextlib
import threading
from collections.abc import Iterator

import psutil

_MIB = 1024 * 1024


class MemoryWatch:
    """Samples the resident memory of this process and everything below it."""

    def __init__(self, interval_seconds: float = 0.5) -> None:
        self.peak_mib = 0.0
        self._window = 0.0
        self._interval = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="memory-watch")

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(timeout=2)
        self._sample()  # a run that has nothing to do ends before the first interval

    def take_window(self) -> float:
        """Peak since the last call, MiB."""
        peak, self._window = max(self._window, self._sample()), 0.0
        return peak

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            self._window = max(self._window, self._sample())

    def _sample(self) -> float:
        now = sum(_resident(process) for process in _family()) / _MIB
        self.peak_mib = max(self.peak_mib, now)
        return now


def _family() -> Iterator[psutil.Process]:
    own = psutil.Process()
    yield own
    with contextlib.suppress(psutil.Error):
        yield from own.children(recursive=True)


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
