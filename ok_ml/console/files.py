"""Files: the style sheet, and PNG and SVG pictures, and pages of checks, that a run wrote below the plots folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ok_ml.serving.problems import Problem

MAX_PICTURE_BYTES: Final = 8 * 1024 * 1024
_SUFFIXES: Final = (".png", ".svg", ".html")


class Files(StaticFiles):
    """Files below a folder, which a browser asks for again each time and gets when they changed."""

    added: ClassVar[Mapping[str, str]] = {"cache-control": "no-cache"}

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file with the headers `added`, or 304."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(self.added)
        return response


class Pictures(Files):
    """PNG and SVG files, and pages of checks, below a folder, which may come into being later; links out of it lead nowhere."""

    # An SVG or a page is a document: opened by itself it must not run anything.
    added: ClassVar[Mapping[str, str]] = {
        **Files.added,
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    }

    async def check_config(self) -> None:
        """The first run makes the folder."""

    def get_path(self, scope: Scope) -> str:
        """The path as it was asked for: one that needs to be normalised names no picture."""
        path: str = scope["path"].removeprefix(scope["root_path"]).removeprefix("/")
        if not path.isprintable() or any(piece.startswith(".") or not piece for piece in path.split("/")):
            raise _no_picture()
        return path

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file. Raises Problem 404 for whatever is not a picture of at most 8 MiB."""
        full_path, status = super().lookup_path(path)
        if status is None or Path(full_path).suffix.lower() not in _SUFFIXES or status.st_size > MAX_PICTURE_BYTES:
            raise _no_picture()
        return full_path, status


def _no_picture() -> Problem:
    return Problem(
        404,
        "there is no such picture",
        remedy="pictures are PNG or SVG files that a run wrote, pages HTML; run the asset or its check again to write it",
    )
