"""Requests and responses of the service, independent of the server below it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Headers = list[tuple[str, str]]

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
HTML: Final = "text/html; charset=utf-8"
PLAIN: Final = "text/plain; charset=utf-8"

# Nothing from outside, no script, no frame around us: the pages need only their own style sheet and pictures.
PAGE_POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_COMMON: Final[Headers] = [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")]
_UNCACHED: Final[Headers] = [("cache-control", "no-store")]
_TITLES: Final = {
    400: "The request cannot be understood",
    401: "The caller is not known",
    404: "Nothing is here",
    405: "This method is not offered here",
    408: "The request took too long",
    413: "The request is too large",
    500: "The service made a mistake",
    503: "Nothing can be served yet",
}


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes
    headers: Headers = field(default_factory=list)

    def header_list(self) -> Headers:
        """All headers, as the server wants them."""
        return [("content-type", self.content_type), *_COMMON, *self.headers]


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
        self, status: int, detail: str, *, why: str = "", remedy: str = "", headers: Headers | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.why, self.remedy = status, detail, why, remedy
        self.headers, self.extra = headers or [], extra

    @property
    def title(self) -> str:
        """One sentence that fits the status."""
        return _TITLES.get(self.status, "The request was refused")

    def document(self) -> dict[str, Any]:
        """The problem as RFC 9457 wants it, with `why` and `remedy` beside."""
        members = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        return {**members, "why": self.why, "remedy": self.remedy, **self.extra}

    def response(self) -> Response:
        """The problem as an answer."""
        return Response(
            self.status, PROBLEM_JSON, orjson.dumps(self.document()), [*self.headers, ("cache-control", "no-store")]
        )


def json_response(body: bytes) -> Response:
    """A JSON answer that nobody may cache: the next request may see another generation."""
    return Response(200, JSON, body, _UNCACHED)


def page_response(html: str, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """A page for people."""
    policy = [("content-security-policy", PAGE_POLICY), ("cache-control", "no-store")]
    return Response(status, HTML, html.encode(), [*policy, *headers])
