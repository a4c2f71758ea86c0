"""Who runs this: containers are often started by a number that the machine's list of users does not know."""

import getpass
import os
import pwd


def has_entry() -> bool:
    """Whether the machine's list of users knows this user."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def name_of_user() -> str:
    """The name of this user: LOGNAME or USER, else the entry's, else `uid-N`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def settle_names() -> None:
    """Give a user without an entry a name in the environment, where libraries and child processes look for one."""
    if not has_entry():
        for variable in ("USER", "LOGNAME"):
            os.environ.setdefault(variable, name_of_user())
