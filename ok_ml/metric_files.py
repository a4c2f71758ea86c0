"""How the metrics of all processes come to one address: each leaves a text in `<state>/metrics`, the service joins them.

A file of a long-running process says for how long it is valid. Once that is over, or the process is gone, its numbers
are left out and `ok_ml_process_up` says 0: an old number must not look alive. What a finished step leaves holds until the
next one; it carries its time. prometheus_client's own joining (multiprocess mode) knows neither: the counters of a
process that is gone stay, its gauges too until it is marked dead, and nothing says how old a number is.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from ok_ml import metrics
from ok_ml.atomic_write import replace_file

logger = logging.getLogger(__name__)

FOLDER: Final = "metrics"
HOLDS_SECONDS: Final = 15.0
EVERY_SECONDS: Final = 2.0
WORKER_PREFIX: Final = "service-"
_SUFFIX: Final = ".prom"
_MARK: Final = "# ok_ml "
_END: Final = "# EOF\n"


@dataclass(frozen=True)
class MetricFile:
    """What one process left.

    Attributes
    ----------
    holds_seconds
        For how long its numbers are true; None: they describe something that is over.
    kept
        Whatever the writer wants to find again, e.g. counts that continue.
    """

    process: str
    pid: int
    host: str
    written_at: float
    holds_seconds: float | None
    text: str
    kept: dict[str, Any]

    def is_alive(self, now: float) -> bool:
        """Whether its numbers are still true."""
        if self.holds_seconds is None:
            return True
        return now - self.written_at <= self.holds_seconds and not self.is_gone()

    def is_gone(self) -> bool:
        """Whether its process has certainly ended."""
        import psutil

        return self.host == socket.gethostname() and not psutil.pid_exists(self.pid)


def write(
    state_dir: Path,
    name: str,
    board: metrics.Board,
    *,
    process: str | None = None,
    holds_seconds: float | None = None,
    kept: dict[str, Any] | None = None,
) -> Path:
    """Replace `<state>/metrics/<name>.prom` in one step.

    Parameters
    ----------
    process
        Default: the name.
    holds_seconds, kept
        As of `MetricFile`.
    """
    head = {
        "process": process or name,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "written_at": time.time(),
        "holds_seconds": holds_seconds,
        "kept": kept or {},
    }
    path = state_dir / FOLDER / f"{name}{_SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, _MARK.encode() + orjson.dumps(head) + b"\n" + board.text().encode() + _END.encode())
    return path


def read(path: Path) -> MetricFile | None:
    """One file; None if it is not there, or not of ours."""
    with contextlib.suppress(OSError, UnicodeDecodeError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
        if head.startswith(_MARK) and text.endswith(_END):
            return MetricFile(**orjson.loads(head.removeprefix(_MARK)), text=text.removesuffix(_END))
    return None


def read_kept(state_dir: Path, name: str) -> dict[str, Any]:
    """What the last writer of a file wanted to be found again."""
    file = read(state_dir / FOLDER / f"{name}{_SUFFIX}")
    return file.kept if file is not None else {}


def texts_of_others(state_dir: Path, own: str | None = None) -> list[str]:
    """The texts of every other process, and what is to be said of these processes themselves.

    Parameters
    ----------
    own
        Name of the file that is left out: its process speaks for itself.
    """
    now, texts, boards, newest = time.time(), [], dict[str, metrics.Board](), dict[str, float]()
    for path in sorted((state_dir / FOLDER).glob(f"[!.]*{_SUFFIX}")):
        file = read(path) if path.name != f"{own}{_SUFFIX}" else None
        if file is None or _is_left_worker(path, file):
            continue
        alive = file.is_alive(now)
        if alive:
            texts.append(file.text)
        if path.name.startswith(WORKER_PREFIX):
            continue
        board = boards.setdefault(file.process, metrics.Board(file.process))
        newest[file.process] = max(file.written_at, newest.get(file.process, 0.0))
        board.set(metrics.WRITTEN, newest[file.process])
        if file.holds_seconds is not None:
            board.set(metrics.UP, float(alive))
    return [*texts, *(board.text() for board in boards.values())]


def _is_left_worker(path: Path, file: MetricFile) -> bool:
    """Whether it is of a worker that has ended: another took its place, so it is not missing."""
    if not path.name.startswith(WORKER_PREFIX) or not file.is_gone():
        return False
    path.unlink(missing_ok=True)
    return True


def about_process(board: metrics.Board) -> None:
    """Set what is known of this process itself."""
    import psutil

    own = psutil.Process()
    used = own.cpu_times()
    board.set(metrics.RESIDENT, own.memory_info().rss)
    board.set(metrics.CPU, used.user + used.system)


class Exporter:
    """Writes a board every few seconds, in a thread, between `start` and `stop`.

    Parameters
    ----------
    fill
        Called before each writing.
    """

    def __init__(
        self,
        state_dir: Path,
        name: str,
        board: metrics.Board,
        *,
        process: str | None = None,
        fill: Callable[[], None] = lambda: None,
    ) -> None:
        self._state_dir, self._name, self._process = state_dir, name, process
        self._board, self._fill, self._stop = board, fill, threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="metrics")

    def __enter__(self) -> "Exporter":
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was written last ages and is then left out."""
        self._stop.set()
        self._thread.join(timeout=5)

    def write(self) -> None:
        """Write now."""
        self._fill()
        about_process(self._board)
        write(self._state_dir, self._name, self._board, process=self._process, holds_seconds=HOLDS_SECONDS)

    def _loop(self) -> None:
        while True:
            try:
                self.write()
            except OSError as error:  # a full disk costs metrics, not the process
                logger.warning("the metrics of this process cannot be written: %s", error)
            if self._stop.wait(EVERY_SECONDS):
                return
