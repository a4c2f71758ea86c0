"""Run one command, and end it when whoever asked for it is gone, whatever killed them.

Run by its path, as ``python -I -S guard.py FD COMMAND...``: FD is the read end of a pipe whose write end only the asking
process holds, so its end is seen as end of file. (Linux's "signal at the parent's death" alone looks at the thread that
forked: a broker started by a worker thread would die with the thread. It is used one level below, where this program
has one thread, for the case that this program itself is killed.)
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 10.0


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _wait(process: "subprocess.Popen[bytes]", parent: int) -> None:
    """Return when the command ended, a stop was asked for, or the parent is gone."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, lambda *_: None)
    while process.poll() is None:
        readable, _, _ = select.select([parent, woken], [], [], 5.0)
        if parent in readable:
            return
        if woken in readable and any(byte != signal.SIGCHLD for byte in os.read(woken, 64)):
            return


def main(argv: list[str]) -> int:
    """Run the command of the arguments; return its exit code."""
    process = subprocess.Popen(argv[1:], preexec_fn=_die_with_parent)  # noqa: PLW1509 (one thread, see above)
    _wait(process, int(argv[0]))
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
