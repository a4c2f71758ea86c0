"""The assets and checks of a running Dagster, asked over its GraphQL address: nothing of Dagster is imported here."""

import http.client
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson

from ok_ml.config.models import Project
from ok_ml.serving.health import StatusItem, in_words

_ANSWER_SECONDS: Final = 2.5
_QUERY: Final = """
query Health {
  assetNodes {
    assetKey { path }
    owners { ... on UserAssetOwner { email } ... on TeamAssetOwner { team } }
    freshnessStatusInfo { freshnessStatus }
    assetMaterializations(limit: 1) { timestamp }
    assetChecksOrError {
      ... on AssetChecks {
        checks { name executionForLatestMaterialization { status evaluation { success severity description } } }
      }
    }
  }
}
"""
_FRESHNESS: Final = {"UNHEALTHY": "fail", "WARNING": "warn", "HEALTHY": "ok", "UNKNOWN": "ok", "NOT_APPLICABLE": "ok"}


def dagster_items(project: Project) -> list[StatusItem]:
    """One item for each asset and for each of its checks; empty while no Dagster answers."""
    if project.environment.dagster.home is None:
        return []
    port = project.environment.dagster.port
    try:
        found = orjson.loads(_ask("127.0.0.1", port, orjson.dumps({"query": _QUERY})))
        nodes = found["data"]["assetNodes"]
        return [item for node in nodes for item in node_items(node, f"http://127.0.0.1:{port}", time.time())]
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError, KeyError, TypeError):
        return []


def node_items(node: dict[str, Any], base: str, now: float) -> Iterator[StatusItem]:
    """Items of one asset node of the answer."""
    path = node["assetKey"]["path"]
    name, link = "/".join(path), f"{base}/assets/{'/'.join(path)}"
    owner = next((found.get("email") or found.get("team") for found in node["owners"]), None)
    made = node["assetMaterializations"]
    age = max(0.0, now - float(made[0]["timestamp"]) / 1000.0) if made else None
    yield _asset(name, age, owner, link, (node["freshnessStatusInfo"] or {}).get("freshnessStatus"))
    for check in (node["assetChecksOrError"] or {}).get("checks", []):
        yield _check(
            f"{name}: {check['name']}", owner, f"{link}?view=checks", check["executionForLatestMaterialization"]
        )


def _asset(name: str, age: float | None, owner: str | None, link: str, freshness: str | None) -> StatusItem:
    if age is None:
        return StatusItem(name, "asset", "unknown", None, owner, "never made", link)
    state: Any = _FRESHNESS.get(freshness or "", "ok")
    words = {"fail": "stale: made", "warn": "soon stale: made", "ok": "made"}[state]
    return StatusItem(name, "asset", state, age, owner, f"{words} {in_words(age)} ago", link)


def _check(name: str, owner: str | None, link: str, execution: dict[str, Any] | None) -> StatusItem:
    if execution is None or execution["evaluation"] is None:
        failed = execution is not None and execution["status"] == "EXECUTION_FAILED"
        message = "the check itself failed; see its run" if failed else "not evaluated for the newest materialisation"
        return StatusItem(name, "check", "fail" if failed else "unknown", None, owner, message, link)
    evaluation = execution["evaluation"]
    if evaluation["success"]:
        return StatusItem(name, "check", "ok", None, owner, evaluation["description"] or "passed", link)
    state: Any = "warn" if evaluation["severity"] == "WARN" else "fail"
    return StatusItem(name, "check", state, None, owner, evaluation["description"] or "failed", link)


def _ask(host: str, port: int, body: bytes) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", "/graphql", body, {"content-type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()
