"""A child process that never outlives whoever needs it: this process, or all users of a shared service."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from ok_ml.local.processes.process_tree import group_is_empty, signal_group

STOP_SECONDS: Final = 10.0
_GUARD: Final = Path(__file__).with_name("process_guard.py")
_GRACE_SECONDS: Final = 2.0  # what the guard itself takes after its command had its time
_COLLECT_SECONDS: Final = 0.2
_SWEEP_SECONDS: Final = 5.0
_LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class GuardedProcess:
    """A command under the guard, in a session of its own: Ctrl-C in the terminal does not reach it, our end does.

    Parameters
    ----------
    command
        Program and arguments, started without a shell.
    log
        File that its output is appended to.
    env
        Variables on top of this process's.
    cwd
        Its working folder.
    shared
        The folder of a shared service (`ok_ml.local.processes.shared_service`): its users keep it, instead of this process.
    stop_seconds
        How long it may take to end after SIGTERM before it is killed.
    asks_group
        Whether SIGTERM goes to its whole process group instead of to it alone.

    Raises
    ------
    OSError
        There is no such program.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        shared: Path | None = None,
        stop_seconds: float = STOP_SECONDS,
        asks_group: bool = False,
    ) -> None:
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(f"there is no program {command[0]}")
        self.log, self._stop_seconds = log, stop_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        read_end, self._write_end = os.pipe()
        needed = str(read_end) if shared is None else str(shared.absolute())
        guard = [
            sys.executable,
            "-I",
            "-S",
            str(_GUARD),
            needed,
            str(stop_seconds),
            "group" if asks_group else "command",
        ]
        try:
            with log.open("ab") as sink:
                self._process = subprocess.Popen(
                    [*guard, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    pass_fds=(read_end,) if shared is None else (),
                    start_new_session=True,
                )
        except OSError:
            self._release()
            raise
        finally:
            os.close(read_end)
        self.created = 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            self.created = psutil.Process(self.pid).create_time()

    @property
    def pid(self) -> int:
        """Process id of the guard, which leads the process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """The command's exit code, negative for the signal that killed it, or None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end, and return at once."""
        if self._process.poll() is None:
            self._process.terminate()

    def is_gone(self) -> bool:
        """Whether it ended and left no process in its group."""
        return self._process.poll() is not None and group_is_empty(self.pid)

    def sweep(self) -> None:
        """Kill whatever is left of its process group, and collect the guard, unless the kernel holds it."""
        signal_group(self.pid, signal.SIGKILL)
        self._release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SWEEP_SECONDS)

    def stop(self) -> int:
        """SIGTERM, a bounded wait, SIGKILL; nothing of the group is left afterwards. Returns the exit code."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._stop_seconds + _GRACE_SECONDS)
        self.sweep()
        return self._process.wait()

    def collect(self) -> None:
        """Let go of a shared one: take its exit code if it has ended or is about to, and leave it alone otherwise."""
        self._release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_COLLECT_SECONDS)

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log, indented, for an error message."""
        return "\n".join(f"    {line[:200]}" for line in last_lines(self.log, lines))

    def trim_log(self) -> None:
        """Start the log again once it is larger than 64 MiB: the child appends, so it continues at the top."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > _LOG_LIMIT_BYTES:
                os.truncate(self.log, 0)

    def _release(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def last_lines(path: Path, lines: int, *, window_bytes: int = 16_384) -> list[str]:
    """The last non-empty lines of a text file, without reading all of it; colour codes are taken out."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as handle:
        handle.seek(0, os.SEEK_END)
        handle.seek(max(0, handle.tell() - window_bytes))
        text = _ESCAPES.sub("", handle.read().decode("utf-8", errors="replace"))
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return []


def exit_in_words(code: int) -> str:
    """An exit code as people say it: "exit code 1" or "killed by SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
