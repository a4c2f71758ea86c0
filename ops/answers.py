"""What Prometheus answers to the queries of a dashboard, as Grafana would ask them."""

import http.client
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import orjson

from ok_ml.errors import ServiceUnavailable

_TIMEOUT_SECONDS: Final = 20.0
_POINTS: Final = 240
_LABEL: Final = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")


@dataclass(frozen=True)
class Line:
    """One series.

    Attributes
    ----------
    times
        Unix time, seconds.
    values
        As long as `times`, finite.
    """

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


def settled(expr: str, *, rate_seconds: int) -> str:
    """A query with its variables replaced: every experiment, and rates over so many seconds."""
    return expr.replace("$__rate_interval", f"{rate_seconds}s").replace("$experiment", ".*")


def lines_of(base: str, target: Mapping[str, Any], start: float, end: float, *, rate_seconds: int) -> list[Line]:
    """The series of one query of a panel over a time.

    Raises
    ------
    ServiceUnavailable
        Prometheus does not answer, or refuses the query.
    """
    step = max(1, round((end - start) / _POINTS))
    query = {"query": settled(target["expr"], rate_seconds=rate_seconds), "start": start, "end": end, "step": step}
    found = [
        _line(target.get("legendFormat", ""), one) for one in _ask(f"{base}/api/v1/query_range?{urlencode(query)}")
    ]
    return sorted((line for line in found if line.values), key=lambda line: line.name)


def _ask(url: str) -> list[dict[str, Any]]:
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - an address of our own
            found: list[dict[str, Any]] = orjson.loads(answer.read())["data"]["result"]
            return found
    except (URLError, OSError, http.client.HTTPException, orjson.JSONDecodeError, KeyError) as error:
        raise ServiceUnavailable(
            f"Prometheus does not answer {url[:200]}: {error}",
            why="the panels would be empty",
            remedy="start it with ops/prometheus/prometheus.yml, or name its address with --prometheus",
        ) from error


def _line(legend: str, series: Mapping[str, Any]) -> Line:
    labels = series["metric"]
    name = _LABEL.sub(lambda found: str(labels.get(found.group(1), "")), legend)
    points = [(at, value) for at, text in series["values"] if math.isfinite(value := float(text))]
    return Line(name, tuple(at for at, _ in points), tuple(value for _, value in points))
