"""Stale assets, judged by the wall clock from when they were made, or from when the newest day that they hold came."""

from collections.abc import Mapping
from typing import Final

import dagster as dg

from ok_ml.config.models import Project
from ok_ml.console.health import in_words
from ok_ml.incidents.signals import DAY_SECONDS, Asset, Severity, Signal
from ok_ml.monitoring.data_ages import came_at
from ok_ml.sensors.sources import Look, parse_cursor, write_cursor
from ok_ml.sensors.watched import Watched

CURSOR: Final = "watch"
_GAP_SECONDS: Final = 120.0  # a gap between ticks of so long means no watch: the daemon was down


def look_at_freshness(
    instance: dg.DagsterInstance, graph: Watched, project: Project, cursor: str | None, now: float
) -> Look:
    """Stale assets of scopes that are updated automatically; one query.

    Staleness starts a training, which ends it: tables of a training are reported only if they are still stale a day later.
    Days of a simulated dataset stand still while nothing runs, so what is made from them does not age then. And an asset is
    reported only after `alerts.stale_grace_seconds`, since fast days leave less time than a run takes.
    """
    alerts = project.environment.alerts
    since = _watching_since(cursor, now)
    look = Look(complete={"freshness"}, cursors={CURSOR: write_cursor({"since": since, "last": now})})
    assets = [asset for asset in graph.policies if asset[0] in graph.automatic]
    made = {asset: _of_data(project, asset, at) for asset, at in _last_made(instance, graph, assets).items()}
    for asset in assets:
        if asset not in made:
            continue
        accelerated = graph.day_seconds(asset) != DAY_SECONDS
        age = now - (max(made[asset], since) if accelerated else made[asset])
        grace = alerts.stale_grace_seconds + (graph.day_seconds(asset) if asset in graph.trained else 0.0)
        fail, warn = _windows(graph.policies[asset])
        if fail is not None and age > fail + grace:
            look.failing.append(_signal(graph, asset, "error", now - made[asset], fail, now))
        elif alerts.soon_stale and warn is not None and age > warn + grace:
            look.failing.append(_signal(graph, asset, "warn", now - made[asset], warn, now))
    return look


def _watching_since(cursor: str | None, now: float) -> float:
    """From when on every tick has looked, seconds since 1970."""
    known = parse_cursor(cursor) or {}
    last, since = known.get("last"), known.get("since")
    is_unbroken = isinstance(last, float) and isinstance(since, float) and now - last < _GAP_SECONDS
    return float(since) if is_unbroken and since is not None else now


def _last_made(instance: dg.DagsterInstance, graph: Watched, assets: list[Asset]) -> Mapping[Asset, float]:
    records = instance.get_asset_records([graph.keys[asset] for asset in assets])
    entries = {record.asset_entry.asset_key: record.asset_entry.last_materialization for record in records}
    newest = {asset: entries.get(graph.keys[asset]) for asset in assets}
    return {asset: entry.timestamp for asset, entry in newest.items() if entry is not None}


def _of_data(project: Project, asset: Asset, made: float) -> float:
    """The arrival of the newest day that an asset holds, if that is longer ago: a backfill makes nothing fresh."""
    came = came_at(project, *asset)
    return made if came is None else min(made, came)


def _windows(policy: object) -> tuple[float | None, float | None]:
    fail, warn = getattr(policy, "fail_window", None), getattr(policy, "warn_window", None)
    return (
        fail.to_timedelta().total_seconds() if fail is not None else None,
        warn.to_timedelta().total_seconds() if warn is not None else None,
    )


def _signal(graph: Watched, asset: Asset, severity: Severity, age: float, limit: float, now: float) -> Signal:
    name = "/".join(asset)
    return Signal(
        f"freshness:{name}",
        "freshness",
        severity,
        graph.owner(asset),
        f"{name} is {'stale' if severity == 'error' else 'soon stale'}",
        f"made {in_words(age)} ago, limit {in_words(limit)}; its page shows what it waits for, or materialise it there",
        graph.page(asset),
        asset,
        now - age + limit,
        day_seconds=graph.day_seconds(asset),
    )
