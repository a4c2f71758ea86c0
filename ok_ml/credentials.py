"""Passwords, which the configuration names by environment variable."""

import os

from ok_ml.errors import ConfigError


def password_of(section: str, variable: str | None) -> str | None:
    """The password that `<section>.password_env` names, or None if it names none.

    Raises
    ------
    ConfigError
        The variable is unset or empty.
    """
    if variable is None:
        return None
    password = os.environ.get(variable)
    if not password:
        raise ConfigError(
            f"{section}.password_env names {variable}, which is not set",
            why="the server refuses whoever has no password",
            remedy=f"export {variable}=...",
        )
    return password
