"""Problem documents (RFC 9457), and JSON answers that must not be cached."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

UNCACHED: Final = {"cache-control": "no-store"}
TITLES: Final = {
    400: "The request cannot be understood",
    401: "The caller is not known",
    404: "Nothing is here",
    405: "This method is not offered here",
    408: "The request took too long",
    413: "The request is too large",
    500: "The service made a mistake",
    503: "Nothing can be served yet",
}


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """An answer that is not what was asked for, with the reason and the way out (RFC 9457).

    Parameters
    ----------
    status
        HTTP status.
    detail
        What is wrong, with what was expected and received.
    why
        Why it is refused.
    remedy
        What to do.
    extra
        Further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        why: str = "",
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.why, self.remedy = status, detail, why, remedy
        self.headers, self.extra = headers or {}, extra

    @property
    def title(self) -> str:
        """One sentence that fits the status."""
        return TITLES.get(self.status, "The request was refused")

    def response(self) -> Response:
        """The problem as a document, with `why` and `remedy` in addition to what the RFC names."""
        members = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        body = orjson.dumps({**members, "why": self.why, "remedy": self.remedy, **self.extra})
        return Response(body, self.status, {**self.headers, **UNCACHED}, "application/problem+json")


def json_response(body: bytes) -> Response:
    """A JSON answer that must not be cached: the next request may see another generation."""
    return Response(body, headers=UNCACHED, media_type="application/json")
