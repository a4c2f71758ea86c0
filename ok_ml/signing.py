"""Signatures of records: HMAC-SHA256 over canonical JSON.

Whoever can write to MLflow, the lake or a topic can forge a tag or a file; only who holds the key can sign. A signature
names its purpose, so that one kind of record cannot pass for another.
"""

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ok_ml.errors import ConfigError, EnvironmentFault, IntegrityError

KEY_FILE: Final = "signing.key"
MIN_KEY_BYTES: Final = 32


def canonical_json(payload: Mapping[str, Any]) -> bytes:
    """The one JSON text of a payload: keys sorted, no spaces, UTF-8.

    Raises
    ------
    IntegrityError
        The payload holds NaN, an infinity or something that JSON cannot say, so it has no such text.
    """
    try:
        return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise IntegrityError(
            f"the record cannot be signed: {error}",
            why="another reader would read another record",
            remedy="record None instead of NaN, and plain numbers, strings, lists and mappings",
        ) from error


def sign(payload: Mapping[str, Any], key: bytes, *, purpose: str) -> str:
    """The signature of a payload, 64 hex digits."""
    return hmac.new(key, purpose.encode() + b"\0" + canonical_json(payload), hashlib.sha256).hexdigest()


def verify_signature(payload: Mapping[str, Any], signature: str, key: bytes, *, purpose: str) -> None:
    """Compare in constant time.

    Raises
    ------
    IntegrityError
        The payload, its purpose or the key is not what it was when it was signed.
    """
    expected = sign(payload, key, purpose=purpose)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise IntegrityError(
            f"the signature of the {purpose} record does not match its content",
            why="it was changed after it was signed, or signed with another key",
            remedy="make it again by a run that this deployment trusts: promote or publish again, after a change of key too",
        )


def load_key(state_dir: str | Path, signing_key_env: str | None = None) -> bytes:
    """The signing key: of the named environment variable, else of a file below the state folder, made once.

    Raises
    ------
    ConfigError
        The named variable is unset or too short.
    EnvironmentFault
        The key file is readable by others, or is not a key.
    """
    if signing_key_env:
        return _key_from_environment(signing_key_env)
    path = Path(state_dir) / "keys" / KEY_FILE
    if not path.exists():
        _create_key(path)
    return _key_from_file(path)


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _key_from_environment(name: str) -> bytes:
    value = os.environ.get(name, "").encode()
    if len(value) < MIN_KEY_BYTES:
        raise ConfigError(
            f"signing_key_env names {name}, which {f'holds {len(value)} bytes' if value else 'is not set'};"
            f" expected at least {MIN_KEY_BYTES} bytes",
            why="records could not be signed, or anyone could guess the key",
            remedy=f"export {name}=$(openssl rand -hex 32), the same one wherever records are signed and verified",
        )
    return value


def _create_key(path: Path) -> None:
    """Write a fresh key aside with mode 0600 and link it into place: of two processes at once, one key wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_hex(MIN_KEY_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
        os.link(aside, path)
    except FileExistsError:
        return  # another process made it in the meantime: theirs is the key
    finally:
        aside.unlink()


def _key_from_file(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise EnvironmentFault(
            f"{path} has mode {mode:04o}, expected 0600",
            why="whoever reads the key can promote any model",
            remedy=f"chmod 600 {path}, and remove the file to get a new key if others may have read it",
        )
    key = path.read_bytes().strip()
    if len(key) < MIN_KEY_BYTES:
        raise EnvironmentFault(
            f"{path} holds {len(key)} bytes, expected at least {MIN_KEY_BYTES}",
            why="anyone could guess the key",
            remedy=f"remove {path}: a new key is made, and the champion has to be promoted again",
        )
    return key
