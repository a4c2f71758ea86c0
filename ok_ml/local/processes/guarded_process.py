"""A child process that never outlives whoever needs it: this process, or all users of a shared service."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_GUARD = Path(__file__).with_name("process_guard.py")
_GUARD_GRACE_SECONDS = 12.0
_COLLECT_SECONDS = 0.2


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
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        shared: Path | None = None,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        read_end, self._write_end = os.pipe()
        try:
            with log.open("ab") as sink:
                needed = str(read_end) if shared is None else str(shared.absolute())
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_GUARD), needed, *command],
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

    @property
    def pid(self) -> int:
        """Process id of the guard, which leads the process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """The command's exit code (128 + signal if it was killed), or None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """SIGTERM, a bounded wait, SIGKILL; nothing of the group is left afterwards. Returns the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        self._release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GUARD_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def collect(self) -> None:
        """Let go of a shared one: take its exit code if it has ended or is about to, and leave it alone otherwise."""
        self._release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_COLLECT_SECONDS)

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log, for an error message."""
        with contextlib.suppress(OSError), self.log.open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - 8192))
            found = [line for line in handle.read().decode("utf-8", "replace").splitlines() if line.strip()]
            return "\n".join(f"    {line[:200]}" for line in found[-lines:])
        return ""

    def _release(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1
