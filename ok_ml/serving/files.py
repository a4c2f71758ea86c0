"""The few files that the service hands out: its own style sheet, and pictures below the plots folder."""

from pathlib import Path
from typing import Final

from ok_ml.serving.http import Problem, Response

PICTURE_TYPES: Final = {".png": "image/png", ".svg": "image/svg+xml"}
MAX_PICTURE_BYTES: Final = 8 * 1024 * 1024
_STATIC: Final = Path(__file__).parent / "static"
# An SVG is a document: opened by itself it must not run anything.
_PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


def style_sheet() -> Response:
    """The pages' style sheet."""
    body = (_STATIC / "style.css").read_bytes()
    return Response(200, "text/css; charset=utf-8", body, [("cache-control", "no-cache")])


def picture(plots: Path, relative: str) -> Response:
    """A PNG or SVG below `plots`.

    Raises
    ------
    Problem
        404 for whatever is not such a file below the folder, links out of it included.
    """
    path = _inside(plots, relative)
    content_type = PICTURE_TYPES.get(path.suffix.lower()) if path is not None else None
    if path is None or content_type is None or not path.is_file() or path.stat().st_size > MAX_PICTURE_BYTES:
        raise Problem(
            404,
            "there is no such picture",
            remedy="pictures are PNG or SVG files that a run wrote; run the asset again to draw it",
        )
    headers = [("cache-control", "no-cache"), ("content-security-policy", _PICTURE_POLICY)]
    return Response(200, content_type, path.read_bytes(), headers)


def _inside(root: Path, relative: str) -> Path | None:
    pieces = relative.split("/")
    if not relative.isprintable() or "\\" in relative or any(piece.startswith(".") or not piece for piece in pieces):
        return None
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) else None
