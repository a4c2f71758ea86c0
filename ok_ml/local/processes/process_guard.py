"""Run one command, and end it when whoever needs it is gone, whatever killed them.

Run by its path, as ``python -I -S process_guard.py NEEDED SECONDS ASKED COMMAND...``. NEEDED says who needs it:

a number
    The read end of a pipe whose write end only the asking process holds, so its end is seen as end of file. (Linux's
    "signal at the parent's death" alone looks at the thread that forked: a broker started by a worker thread would die with
    the thread. It is used one level below, where this program has one thread, for the case that this program itself is killed.)
a folder
    Any number of processes, each of which holds a shared lock on the file ``users`` there. Once none does, the exclusive
    lock is this program's, and whoever comes next waits for it: the command has ended by then. For as long as this program
    lives it holds a lock on ``guard``, which says its pid.

SECONDS is how long the command may take to end after SIGTERM, which goes to itself or, where ASKED is ``group``, to the whole
process group. This program ends as the command did: with its exit code, or by the signal that killed it. Where no one is left to
look after the rest of the group, it takes that along.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.1


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _wake_up_by_signals() -> int:
    """From now on signals are bytes in a pipe, of which this is the read end; none ends this program."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, lambda *_: None)
    return woken


def _wait(process: "subprocess.Popen[bytes]", needed: int, woken: int, *, is_pipe: bool) -> bool:
    """Return when the command ended, a stop was asked for, or it is not needed any more; whether it is the last of these."""
    while process.poll() is None:
        watched = [needed, woken] if is_pipe else [woken]
        readable, _, _ = select.select(watched, [], [], 5.0 if is_pipe else _LOOK_SECONDS)
        if woken in readable and any(byte != signal.SIGCHLD for byte in os.read(woken, 64)):
            return False
        if needed in readable or (not is_pipe and _locked(needed)):
            return True
    return False


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


def _end(process: "subprocess.Popen[bytes]", seconds: float, *, group: bool) -> None:
    if group:
        os.killpg(0, signal.SIGTERM)  # this program, which is one of it, is only woken up
    else:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()


def _end_alike(code: int) -> int:
    """The exit code to end with; after a signal it does not return."""
    if code >= 0:
        return code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL has no handler to be taken away
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code


def main(argv: list[str]) -> int:
    """Run the command of the arguments; return its exit code."""
    needed_by, seconds, asked, *command = argv
    is_pipe = needed_by.isdigit()
    needed = int(needed_by) if is_pipe else _announced(needed_by)
    woken = _wake_up_by_signals()
    process = subprocess.Popen(command, preexec_fn=_die_with_parent)  # noqa: PLW1509 (one thread, see above)
    is_left = _wait(process, needed, woken, is_pipe=is_pipe)
    if process.poll() is None:
        _end(process, float(seconds), group=asked == "group")
    code = process.wait()
    if is_left:
        os.killpg(0, signal.SIGKILL)
    return _end_alike(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
