"""The incident, replayed: ``python -m drills.incident`` plays three acts on a living network and asserts what must hold.

Act 1: quiet days; then a broken join gives every event the source of another one. A check fails, one alert opens, nothing
made from that day reaches a user, the last good generation stays; the day is delivered again, whole; the alert closes.
Act 2: four users in ten truly like something else. The served lists do worse, the model retrains by itself, passes the gate, is
published, and does better again; the alert closes.
Act 3: the days of act 1 once more, in this process, without checks: the broken days are learnt from and served, and
likes fall.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drills.chronicle import Chronicle
from drills.deployment import DATASET, DATASET_FILE, EXPERIMENT, SIZE, Deployment, free_ports
from drills.past import live_a_past
from drills.photographs import photograph
from drills.picture import draw_likes, draw_story
from drills.prober import Prober
from drills.what_if import Likes, without_checks

if TYPE_CHECKING:
    from ok_ml.world.population.network import World

DAY_SECONDS: Final = 60.0
FIRST_PORT: Final = 18300
QUIET_DAYS: Final = 2
PROBED_USERS: Final = 100
BROKEN: Final = {"kind": "misjoined", "size": 1.0}
CHANGED_SHARE: Final = 0.4
_METRIC: Final = "reaction_rate_served"
_LAST_DAYS: Final = 3
_LONG: Final = 600.0  # seconds that any single wait may take on a slow machine
_WORLD: Final = {"users": 2000, "sources": 800}
# A minute is a day here, so that a batch takes most of a day: only days without a batch are late.
# The model is young enough throughout, so that what makes it be trained again is what people do.
_EXPERIMENT: Final = {"freshness.predictions_hours": 96, "freshness.model_days": 28}


@dataclass(frozen=True)
class Finding:
    """Something that must hold, and whether it did."""

    name: str
    holds: bool
    told: str


class Incident:
    """The acts, one after the other, on one deployment."""

    def __init__(
        self, base: Path, day_seconds: float, say: Callable[[str], None], pictures: Path | None = None
    ) -> None:
        self.base, self.say, self.day_seconds, self.pictures = base, say, day_seconds, pictures
        self.deployment = Deployment(
            base / "network",
            first_port=free_ports(FIRST_PORT),
            world=_WORLD,
            experiment=_EXPERIMENT,
            base_changes={"world_clock.day_seconds": day_seconds},
        )
        self.chronicle = Chronicle(self.deployment, base / "timeline.jsonl", say)
        self.prober: Prober | None = None
        self.findings: list[Finding] = []
        self.broken_day = self.changed_day = self.mended_day = ""

    def play(self) -> None:
        """Acts 1 and 2; the deployment is stopped at the end whatever happens."""
        try:
            self._begin()
            self._act_one()
            self._act_two()
        except TimeoutError as error:
            self._must("the story comes to its end", False, str(error))
        finally:
            if self.prober is not None:
                self.prober.stop()
            self.chronicle.stop()
            code = self.deployment.stop()
        self._must("the deployment stops cleanly", code == 0, f"exit code {code}")

    # -- acts ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.chronicle.note(
            "act", "quiet days", "a network of its own starts, with its daemon, broker, storage and service"
        )
        live_a_past(self.deployment, self.say)
        self.deployment.start("--no-clock")
        self.chronicle.start()
        self._wait("the first generation is served", self._generation)
        self.deployment.start_clock()
        users = self.deployment.project()
        self.prober = Prober(self.deployment, _some_users(users), self.base / "probes.jsonl")
        self.prober.start()
        first = self.deployment.live()[0] or self.deployment.days()[-1]
        self._wait(f"{QUIET_DAYS} more days are live", lambda: self._days_live_after(first) >= QUIET_DAYS)
        self._must("quiet days raise no alert", not self._opened(), _titles(self._opened()))

    def _act_one(self) -> None:
        self.broken_day = self._day_to_come(2)
        self._tell_world({"incidents": [{"day": self._number(self.broken_day), **BROKEN}]})
        self.chronicle.note(
            "act",
            f"act 1: on {self.broken_day} a broken join gives every event another one's source",
            "the export, not what people did",
            self.broken_day,
        )
        self._wait("the broken day is blocked", lambda: self.broken_day in self._blocked())
        before = self._generation()
        self._wait("an alert opens", self._opened)
        self._photograph("failing_check", "failing_plot", "open_incident", "numbers_by_day")
        self._wait("a day more goes by", lambda: self.deployment.days()[-1] > self.broken_day)
        self._must("the last good generation is still served", self._generation() == before, f"{before}")
        self._repair()
        self._wait("a repaired day is live", lambda: self.deployment.live()[0] >= self.broken_day)
        self._wait("the alert closes", lambda: len(self._closed()) >= len(self._opened()))
        self._one_alert("act 1", 0)

    def _act_two(self) -> None:
        opened = len(self._opened())
        self.changed_day = self._day_to_come(2)
        self._tell_world(
            {"incidents": [], "taste_changes": [{"day": self._number(self.changed_day), "share": CHANGED_SHARE}]}
        )
        self.chronicle.note(
            "act",
            f"act 2: from {self.changed_day} on {CHANGED_SHARE:.0%} of the users like something else",
            "people, not the export",
            self.changed_day,
        )
        self._wait("an alert opens", lambda: len(self._opened()) > opened)
        self._wait("a training because online metrics fell", self._retrained, 3 * _LONG)
        version = self._champion()
        self._wait("its model is served", lambda: self.deployment.live()[1] == version, 3 * _LONG)
        self.mended_day = self.deployment.days()[-1]  # the last one on which people saw the old model's lists
        self._photograph("retrain_reason", "runs")
        self._wait("the alert closes", lambda: len(self._closed()) >= len(self._opened()), 3 * _LONG)
        self._one_alert("act 2", opened)
        self._recovery()

    def _retrained(self) -> bool:
        """Whether a training that was called for by a fall of online metrics has ended well."""
        reasons = [run.reason for run in self.chronicle.runs() if run.kind == "training" and run.status == "SUCCESS"]
        return any(reason.startswith("online metrics fell") for reason in reasons)

    def _champion(self) -> str:
        found = self.deployment.manifest("champion")
        return str(found["details"]["model_version"]) if found else ""

    def _mended_days(self) -> list[float] | None:
        """The metric by day since people see the new model's lists; None while they are few."""
        found = [value for dt, value in self.deployment.online(_METRIC).items() if dt > self.mended_day]
        return found if len(found) >= _LAST_DAYS else None

    def _recovery(self) -> None:
        """Whether what is served does better at the end than on the days between the change and the new model."""
        seen = self._wait(f"{_LAST_DAYS} days on which people saw the new model's lists", self._mended_days)
        again = seen[-_LAST_DAYS:]
        days = self.deployment.online(_METRIC)
        fallen = [value for dt, value in days.items() if self.changed_day <= dt <= self.mended_day]
        told = f"{sum(fallen) / len(fallen):.3f} on {len(fallen)} days, {sum(again) / len(again):.3f} on the last {len(again)}"
        self._must(f"{_METRIC} recovers", sum(again) / len(again) > sum(fallen) / len(fallen), told)

    def _repair(self) -> None:
        """The export of the broken day once more, whole: what people did on it has not changed."""
        self._tell_world({"incidents": []})
        redeliver(self.deployment, self.broken_day)
        what = f"the log of {self.broken_day} is delivered again, whole"
        self.chronicle.note("repair", what, "somebody repaired the join", self.broken_day)

    def _photograph(self, *names: str) -> None:
        if self.pictures is not None:
            for name in names:
                photograph(self.deployment, name, self.pictures, self.say)

    # -- looking -------------------------------------------------------------------------------------------------

    def _wait(self, what: str, look: Callable[[], Any], seconds: float = _LONG) -> Any:
        return self.deployment.wait(what, seconds, look)

    def _generation(self) -> str | None:
        answer = self.deployment.ask(f"/v1/predictions/{EXPERIMENT}/1")
        return str(answer["generation"]) if answer else None

    def _days_live_after(self, first: str) -> int:
        return sum(day > first for day in {one.day for one in self.chronicle.entries if one.kind == "live"})

    def _blocked(self) -> set[str]:
        found = set()
        for table, scope in (("event_verdict", DATASET), ("feature_verdict", EXPERIMENT)):
            for day in self.deployment.days(table, scope):
                manifest = self.deployment.manifest(table, day, scope)
                if manifest and manifest["details"].get("blocks"):
                    found.add(day)
        return found

    def _opened(self) -> list[dict[str, Any]]:
        return [line for line in self.chronicle.alerts() if line["event"] == "opened"]

    def _closed(self) -> list[dict[str, Any]]:
        return [line for line in self.chronicle.alerts() if line["event"] == "closed"]

    def _day_to_come(self, ahead: int) -> str:
        """The date of a day that the clock has not begun to write: the next one may be under way."""
        world = _world(self.deployment)
        return world.date_of(world.day_of(self.deployment.days()[-1]) + ahead)

    def _number(self, day: str) -> int:
        return _world(self.deployment).day_of(day)

    def _tell_world(self, changes: dict[str, Any]) -> None:
        """What the clock lets happen from its next day on."""
        self.deployment.update(DATASET_FILE, {f"sizes.{SIZE}.world.{name}": value for name, value in changes.items()})

    # -- what must hold --------------------------------------------------------------------------------------------

    def _must(self, name: str, holds: bool, told: str = "") -> None:  # noqa: FBT001
        self.findings.append(Finding(name, bool(holds), told))
        self.say(f"        {'holds' if holds else 'DOES NOT HOLD'}: {name}{f' ({told})' if told else ''}")

    def _one_alert(self, act: str, before: int) -> None:
        opened, closed = self._opened()[before:], self._closed()[before:]
        same = {line["incident"] for line in opened} == {line["incident"] for line in closed}
        self._must(
            f"{act}: exactly one alert opened and closed", len(opened) == len(closed) == 1 and same, _titles(opened)
        )

    def judge(self) -> None:
        """What the prober saw, held against the story."""
        assert self.prober is not None
        probes = self.prober.probes
        unanswered = [probe for probe in probes if probe.generation is None]
        self._must(
            "the service answered every second",
            not unanswered,
            f"{len(probes)} questions, {len(unanswered)} unanswered",
        )
        whole = all(probe.users == PROBED_USERS for probe in probes if probe.generation)
        self._must("every answer had all lists", whole, f"{PROBED_USERS} users each")
        bad = self._made_from_the_broken_day()
        self._must(
            "no generation from the broken day was served", not bad, ", ".join(sorted(bad)) or f"{self.broken_day}"
        )

    def _made_from_the_broken_day(self) -> set[str]:
        """Generations seen by the prober whose data reach the broken day and that were published before it was repaired."""
        repairs = [one.at for one in self.chronicle.entries if one.kind == "repair"]
        repaired = repairs[0] if repairs else float("inf")
        assert self.prober is not None
        first_seen: dict[str, float] = {}
        for probe in self.prober.probes:
            if probe.generation:
                first_seen.setdefault(probe.generation, probe.at)
        days = {one.what.split()[1]: one.day for one in self.chronicle.entries if one.kind == "live"}
        return {name for name, at in first_seen.items() if days.get(name, "") >= self.broken_day and at < repaired}


def redeliver(deployment: Deployment, day: str) -> None:
    """Export a day of the world again as the configuration is now, with the lists that were served on it."""
    import numpy as np

    from ok_ml.delivery.storage import open_store
    from ok_ml.lake import Lake
    from ok_ml.monitoring.series.shown_lists import served_lists
    from ok_ml.world.log.raw_log import export_days

    project, world = deployment.project(), _world(deployment)
    lake = Lake(project.lake_root)
    store = open_store(project.environment.storage, project.root)
    try:
        served = served_lists(store.reader(EXPERIMENT), np.sort(world.user_ids(world.day_of(day))))
    finally:
        store.close()
    export_days(world, lake, DATASET, [day], served=served, workers=1)


def _world(deployment: Deployment) -> "World":
    """The network as its YAML is now."""
    from ok_ml.world.population.network import World

    config = deployment.project().datasets[DATASET]
    assert config.world is not None
    return World(config.world, config.parts)


def _some_users(project: Any) -> list[int]:
    """Every so-manieth user of the newest snapshot."""
    from ok_ml import columns as c
    from ok_ml.lake import Lake

    lake = Lake(project.lake_root)
    users = sorted(
        lake.read(DATASET, c.USERS, [lake.latest(DATASET, c.USERS)], columns=[c.USER_ID])[c.USER_ID].to_pylist()
    )
    return users[:: max(len(users) // PROBED_USERS, 1)][:PROBED_USERS]


def _titles(alerts: Sequence[dict[str, Any]]) -> str:
    return "; ".join(str(one["title"]) for one in alerts) or "none"


def main(argv: Sequence[str] | None = None) -> int:
    """Play it; 0 if everything held."""
    parser = argparse.ArgumentParser("drills.incident", description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(".ok_ml") / "incident", help="default: %(default)s")
    parser.add_argument("--day-seconds", type=float, default=DAY_SECONDS, help="wall seconds of a day (%(default)s)")
    parser.add_argument(
        "--pictures", type=Path, help="photograph the pages at the moments of the story into this folder"
    )
    arguments = parser.parse_args(argv)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "timeline.jsonl").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.time()
    drill = Incident(folder, arguments.day_seconds, lambda line: print(line, flush=True), arguments.pictures)
    drill.play()
    drill.judge()
    likes = without_checks(drill.deployment, drill.broken_day, drill.say)
    drill.findings.append(Finding("without checks likes fall", likes.falls, likes.told))
    return _report(drill, likes, folder, time.time() - started)


def _report(drill: Incident, likes: Likes, folder: Path, seconds: float) -> int:
    draw_story(drill, folder / "timeline.png")
    draw_likes(likes, folder / "without_checks.png")
    (folder / "incident.json").write_text(
        json.dumps(
            {
                "seconds": round(seconds, 1),
                "findings": [asdict(one) for one in drill.findings],
                "timeline": [asdict(one) for one in drill.chronicle.entries],
                "likes": {"with_checks": likes.with_checks, "without_checks": likes.without, "days": likes.days},
            },
            indent=1,
        )
    )
    print(
        f"\n{len(drill.chronicle.entries)} entries in {folder / 'timeline.jsonl'}; pictures: {folder / 'timeline.png'}, {folder / 'without_checks.png'}"
    )
    for one in drill.findings:
        print(f"{'holds' if one.holds else 'DOES NOT HOLD':<14} {one.name}{f': {one.told}' if one.told else ''}")
    print(f"{seconds / 60:.1f} min")
    return 0 if all(one.holds for one in drill.findings) else 1


if __name__ == "__main__":
    sys.exit(main())
