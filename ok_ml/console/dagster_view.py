"""The assets and checks of a running Dagster, asked over its GraphQL address: nothing of Dagster is imported here."""

import http.client
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson

from ok_ml.config.models import Project
from ok_ml.console.health import StatusItem, in_words

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
        checks { name executionForLatestMaterialization { status evaluation { success severity description metadataEntries { label } } } }
      }
    }
  }
}
"""
_RUNS: Final = """
query Runs { runsOrError(limit: 30) { ... on Runs { results { id jobName status startTime endTime } } } }
"""
_NOTHING_JUDGED: Final = "nothing_judged"  # keys.NOTHING_JUDGED, which would import Dagster
_ASSET_JOB: Final = "__ASSET_JOB"  # what Dagster calls runs of assets without a job
_FRESHNESS: Final = {"UNHEALTHY": "fail", "WARNING": "warn", "HEALTHY": "ok", "UNKNOWN": "ok", "NOT_APPLICABLE": "ok"}


def dagster_items(project: Project) -> list[StatusItem]:
    """Items of assets, their checks, and the last run of each job; empty while no Dagster answers."""
    if project.environment.dagster.home is None:
        return []
    port, now = project.environment.dagster.port, time.time()
    base = f"http://127.0.0.1:{port}"
    try:
        nodes = _ask(port, _QUERY)["assetNodes"]
        runs = _ask(port, _RUNS)["runsOrError"]["results"]
        return [*(item for node in nodes for item in node_items(node, base, now)), *run_items(runs, base, now)]
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError, KeyError, TypeError):
        return []


def node_items(node: dict[str, Any], base: str, now: float) -> Iterator[StatusItem]:
    """An asset and its checks; checks of an asset that was never materialised are left out."""
    path = node["assetKey"]["path"]
    name, link = "/".join(path), f"{base}/assets/{'/'.join(path)}"
    owner = next((found.get("email") or found.get("team") for found in node["owners"]), None)
    made = node["assetMaterializations"]
    age = max(0.0, now - float(made[0]["timestamp"]) / 1000.0) if made else None
    yield _asset(name, age, owner, link, (node["freshnessStatusInfo"] or {}).get("freshnessStatus"))
    if age is None:
        return
    for check in (node["assetChecksOrError"] or {}).get("checks", []):
        yield _check(
            f"{name}: {check['name']}", owner, f"{link}?view=checks", check["executionForLatestMaterialization"]
        )


def _asset(name: str, age: float | None, owner: str | None, link: str, freshness: str | None) -> StatusItem:
    if age is None:
        return StatusItem(name, "asset", "unknown", None, owner, "never materialised", link)
    state: Any = _FRESHNESS.get(freshness or "", "ok")
    words = {"fail": "stale: materialised", "warn": "soon stale: materialised", "ok": "materialised"}[state]
    return StatusItem(name, "asset", state, age, owner, f"{words} {in_words(age)} ago", link)


def _check(name: str, owner: str | None, link: str, execution: dict[str, Any] | None) -> StatusItem:
    if execution is None or execution["evaluation"] is None:
        failed = execution is not None and execution["status"] == "EXECUTION_FAILED"
        message = "the check itself failed; see its run" if failed else "not evaluated for the newest materialisation"
        return StatusItem(name, "check", "fail" if failed else "unknown", None, owner, message, link)
    evaluation = execution["evaluation"]
    if evaluation["success"]:
        return StatusItem(name, "check", "ok", None, owner, evaluation["description"] or "passed", link)
    if _NOTHING_JUDGED in [entry["label"] for entry in evaluation.get("metadataEntries", ())]:
        return StatusItem(name, "check", "unknown", None, owner, evaluation["description"], link)
    state: Any = "warn" if evaluation["severity"] == "WARN" else "fail"
    return StatusItem(name, "check", state, None, owner, evaluation["description"] or "failed", link)


def run_items(runs: list[dict[str, Any]], base: str, now: float) -> Iterator[StatusItem]:
    """The last finished run of each job, newest runs first in `runs`; cancelled runs are left out."""
    seen = set()
    for run in runs:
        job = run["jobName"]
        if run["status"] not in ("SUCCESS", "FAILURE") or job in seen:
            continue
        seen.add(job)
        age = max(0.0, now - float(run["endTime"] or now))
        failed = run["status"] == "FAILURE"
        message = (
            f"the last run failed {in_words(age)} ago; its page says at which step"
            if failed
            else "the last run succeeded"
        )
        name = "assets outside of jobs" if job == _ASSET_JOB else job
        yield StatusItem(name, "run", "fail" if failed else "ok", age, None, message, f"{base}/runs/{run['id']}")


def _ask(port: int, query: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", "/graphql", orjson.dumps({"query": query}), {"content-type": "application/json"})
        answer: dict[str, Any] = orjson.loads(connection.getresponse().read())["data"]
        return answer
    finally:
        connection.close()
