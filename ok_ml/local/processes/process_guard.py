"""Run one command, and end it when whoever needs it is gone, whatever killed them.

Run by its path, as ``python -I -S process_guard.py NEEDED COMMAND...``. NEEDED says who needs it:

a number
    The read end of a pipe whose write end only the asking process holds, so its end is seen as end of file. (Linux's
    "signal at the parent's death" alone looks at the thread that forked: a broker started by a worker thread would die with
    the thread. It is used one level below, where this program has one thread, for the case that this program itself is killed.)
a folder
    Any number of processes, each of which holds a shared lock on the file ``users`` there. Once nobody does, the exclusive
    lock is this program's, and whoever comes next waits for it: the command has ended by then. For as long as this program
    lives it holds a lock on ``guard``, which says its pid.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _wait(process: "subprocess.Popen[bytes]", needed: int, *, is_pipe: bool) -> None:
    """Return when the command ended, a stop was asked for, or nobody needs it any more."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, lambda *_: None)
    while process.poll() is None:
        watched = [needed, woken] if is_pipe else [woken]
        readable, _, _ = select.select(watched, [], [], 5.0 if is_pipe else _LOOK_SECONDS)
        if needed in readable or (not is_pipe and _locked(needed)):
            return
        if woken in readable and any(byte != signal.SIGCHLD for byte in os.read(woken, 64)):
            return


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _announced(folder: str) -> int:
    """Hold the lock that says that this program lives; returns the users' file."""
    guard = os.open(f"{folder}/guard", os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(guard, fcntl.LOCK_EX)
    os.ftruncate(guard, 0)
    os.write(guard, b"%d" % os.getpid())
    return os.open(f"{folder}/users", os.O_CREAT | os.O_RDWR, 0o644)


def main(argv: list[str]) -> int:
    """Run the command of the arguments; return its exit code."""
    is_pipe = argv[0].isdigit()
    needed = int(argv[0]) if is_pipe else _announced(argv[0])
    process = subprocess.Popen(argv[1:], preexec_fn=_die_with_parent)  # noqa: PLW1509 (one thread, see above)
    _wait(process, needed, is_pipe=is_pipe)
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
