"""Logs as other systems write them, of a small network whose users like the groups of two topics."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from tests.datasets.sna_log import Shown, write_tree

USERS, GROUPS, TOPICS, DAYS, SHOWN_A_DAY = 300, 60, 6, 12, 8
FIRST_DAY = datetime(2018, 2, 1, tzinfo=UTC)
SPECIAL = {0: 2**53 + 1, 1: -(2**63), 2: 2**63 - 1, 3: -7}  # users whose ids break what takes them for doubles
MOSCOW = ZoneInfo("Europe/Moscow")


class Met(NamedTuple):
    """A user was shown a post of a group, and liked it or not."""

    user: int
    group: int
    post: int
    time: datetime
    liked: bool


def meetings(seed: int = 7) -> Iterator[Met]:
    """Who met which group when; half of the liking is taste, some of it chance."""
    rng, post = np.random.default_rng(seed), 0
    for day in range(DAYS):
        for user in range(USERS):
            for group in rng.choice(GROUPS, SHOWN_A_DAY, replace=False).tolist():
                post += 1
                moment = FIRST_DAY + timedelta(days=day, seconds=int(rng.integers(0, 86_400)))
                yield Met(user, group, post, moment, bool(rng.random() < (0.6 if likes(user, group) else 0.05)))


def likes(user: int, group: int) -> bool:
    """The planted taste: groups of two topics."""
    return group % TOPICS in (user % TOPICS, (user * 5 + 1) % TOPICS)


def write_sna(folder: Path) -> Path:
    """The network as OK's published feed log, folders cut in Moscow; users are members of a tenth of what they like."""
    days: dict[str, list[Shown]] = defaultdict(list)
    for met in meetings():
        member = "A" if likes(met.user, met.group) and met.group < 10 else "P"
        row = Shown(
            met.user,
            5_000 + met.group,
            met.post,
            met.time.replace(tzinfo=None).isoformat(),
            ["Liked", "Clicked"] if met.liked else ["Ignored"],
            met.post % SHOWN_A_DAY,
            member,
        )
        days[met.time.astimezone(MOSCOW).date().isoformat()].append(row)
    return write_tree(folder, dict(sorted(days.items())[:DAYS]))  # of one more day in Moscow there are three hours


def user_id(user: int) -> int:
    """Large, small and negative ids among ordinary ones."""
    return SPECIAL.get(user, 10_000 + user)


def write_dirty(folder: Path) -> dict[str, int]:
    """The network as a CSV in Moscow time with all the dirt that logs have; how many rows of each kind of dirt."""
    rows = [
        [
            str(user_id(met.user)),
            str(met.group),
            str(met.post),
            kind,
            f"{met.time.astimezone(MOSCOW):%d.%m.%Y %H:%M:%S}",
        ]
        for met in meetings()
        for kind in (["shown", "liked"] if met.liked else ["shown"])
    ]
    dirt = {
        "bad_user_id": [["bot", *rows[0][1:]], [f"{2**63}", *rows[0][1:]], ["1e18", *rows[0][1:]]],
        "null_user_id": [["", *rows[0][1:]]] * 4,
        "null_source_id": [[rows[0][0], "", *rows[0][2:]]] * 2,
        "unknown_event_type": [[*rows[0][:3], "winked", rows[0][4]]] * 5,
        "bad_time": [[*rows[0][:4], "31.02.2018 10:00:00"], [*rows[0][:4], "yesterday"]],
        "in_the_future": [[*rows[0][:4], "01.02.2105 10:00:00"]] * 3,
        "before_min_date": [[*rows[0][:4], "01.02.1968 10:00:00"]],
    }
    robot = [
        [str(user_id(299)), str(n % GROUPS), str(10**6 + n), "shown", f"{5 + n % 5:02}.02.2018 12:00:00"]
        for n in range(len(rows) // 9)
    ]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerows([["who", "group", "post", "did", "when"], *rows, *robot, *rows[:50]])
    writer.writerows(row for kind in dirt.values() for row in kind)
    (folder / "log.csv").write_text(text.getvalue() + "1;2;3\nno row at all\n", encoding="utf-8")
    names = [
        [group, "я" * 10_000 if group == 5 else f"Group\x00 {group}\n<b>", group % TOPICS]
        for group in range(GROUPS - 10)
    ]
    with (folder / "groups.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([["id", "title", "topic"], *names])
    return {kind: len(found) for kind, found in dirt.items()} | {"unreadable_line": 2}
