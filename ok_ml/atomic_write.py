"""Small files that others read while we write them: whoever opens one sees the old content or the new, never half."""

import os
import uuid
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write beside `path`, then rename over it.

    Parameters
    ----------
    durable
        Whether content and name are on the disk when it returns; a power cut may undo the write otherwise.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with aside.open("wb") as handle:
        handle.write(content)
        if durable:
            handle.flush()
            os.fsync(handle.fileno())
    aside.replace(path)
    if durable:
        fsync(path.parent)


def fsync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
