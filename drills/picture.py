"""The pictures of a drill: the story on a line of time, and likes with and without checks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from drills.chronicle import Entry, RunSeen, spans
from ok_ml.quality.plots import plot_style as s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from drills.incident import Incident
    from drills.what_if import Likes

_LANES: Final = ("days", "ingest", "training", "batch", "blocked", "alerts", "served")
_RUN_COLOURS: Final = {"ingest": s.SKY, "training": s.PINK, "batch": s.GREEN}


def draw_story(drill: "Incident", path: Path) -> None:
    """Lanes over minutes: days that arrive, runs, blocked days, alerts from opening to closing, generations served."""
    chronicle = drill.chronicle
    begin, end = chronicle.started, max(entry.at for entry in chronicle.entries)
    figure, (axis,) = s.new_figure(
        "The incident, replayed", "minutes; what the living deployment did", width=13.0, height=6.2
    )
    _acts(axis, chronicle.entries, begin, end)
    _runs(axis, chronicle.runs(), begin, end)
    _days(axis, chronicle.entries, begin)
    _blocked(axis, chronicle.entries, begin, end)
    for opened, closed, what in spans(chronicle.entries, "alert", "opened", "closed"):
        _bar(axis, "alerts", opened, closed or end, begin, s.RED, what.partition(": ")[2].partition(": ")[0])
    _served(axis, [one for one in chronicle.entries if one.kind == "live"], begin, end)
    axis.set_yticks(range(len(_LANES)), [*_LANES])
    axis.set_ylim(len(_LANES) - 0.4, -0.9)
    axis.set_xlim(0, (end - begin) / 60)
    axis.set_xlabel("minutes")
    s.horizontal(axis)
    s.to_png(figure, path)


def draw_likes(likes: "Likes", path: Path) -> None:
    """Likes by day of the two worlds."""
    figure, (axis,) = s.new_figure(
        "Likes with and without checks", f"the same people and days; {likes.told}", width=9.0
    )
    places = np.arange(len(likes.days))
    axis.plot(
        places,
        likes.with_checks,
        color=s.BLUE,
        marker="o",
        linewidth=1.8,
        label="checked: the last good generation stays",
    )
    axis.plot(
        places,
        likes.without,
        color=s.RED,
        marker="s",
        linewidth=1.8,
        label="unchecked: broken days are learnt from and served",
    )
    for day in likes.retrained:
        axis.axvline(likes.days.index(day), color=s.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axis.annotate(
            " retrained", (likes.days.index(day), 0.95), xycoords=("data", "axes fraction"), fontsize=9, color=s.MUTED
        )
    axis.set_xticks(places, [day[5:] for day in likes.days], fontsize=8.5)
    axis.set_ylabel("likes a day")
    s.legend(axis, loc="lower left")
    s.to_png(figure, path)


def _acts(axis: "Axes", entries: Sequence[Entry], begin: float, end: float) -> None:
    acts = [one for one in entries if one.kind == "act"]
    for number, act in enumerate(acts):
        left = (act.at - begin) / 60
        right = ((acts[number + 1].at if number + 1 < len(acts) else end) - begin) / 60
        axis.axvspan(left, right, color=s.WEEKEND if number % 2 else "white", linewidth=0, zorder=0.1)
        axis.annotate(act.what.partition(":")[0][:28], (left + 0.05, -0.8), fontsize=9, color=s.INK, va="center")


def _runs(axis: "Axes", runs: Sequence[RunSeen], begin: float, end: float) -> None:
    for run in runs:
        if run.kind in _RUN_COLOURS:
            colour = s.RED if run.status == "FAILURE" else _RUN_COLOURS[run.kind]
            _bar(axis, run.kind, run.start, run.end or end, begin, colour, "")
            if run.kind == "training":
                at = ((run.start - begin) / 60, _LANES.index("training") - 0.38)
                axis.annotate(run.reason.partition(":")[0], at, fontsize=7, color=s.INK, va="center")


def _blocked(axis: "Axes", entries: Sequence[Entry], begin: float, end: float) -> None:
    """From the first verdict that blocks to the next one on features that passes: nothing newer is served in between."""
    verdicts = sorted((one for one in entries if one.kind == "verdict"), key=lambda one: one.at)
    since: Entry | None = None
    for verdict in verdicts:
        if verdict.what.endswith("is blocked"):
            since = since or verdict
        elif since is not None and verdict.what.startswith("features"):
            _bar(axis, "blocked", since.at, verdict.at, begin, s.ORANGE, f"because of {since.day[5:]}")
            since = None
    if since is not None:
        _bar(axis, "blocked", since.at, end, begin, s.ORANGE, f"because of {since.day[5:]}")


def _served(axis: "Axes", live: Sequence[Entry], begin: float, end: float) -> None:
    for number, one in enumerate(live):
        until = live[number + 1].at if number + 1 < len(live) else end
        _bar(axis, "served", one.at, until, begin, (s.BLUE, s.SKY)[number % 2], one.day[5:])


def _days(axis: "Axes", entries: Sequence[Entry], begin: float) -> None:
    """A dot a day that arrives; a ring where a day was delivered again, which may be beside another one."""
    again = {one.day for one in entries if one.kind == "repair"}
    seen: set[str] = set()
    for one in (one for one in entries if one.kind == "day"):
        repaired = one.day in again and one.day in seen
        seen.add(one.day)
        place = ((one.at - begin) / 60, _LANES.index("days"))
        axis.plot(
            *place,
            "o",
            color=s.RED if repaired else s.INK,
            markersize=9 if repaired else 5,
            fillstyle="none" if repaired else "full",
        )
        text, below = (f"{one.day[5:]} again", 0.36) if repaired else (one.day[5:], -0.33)
        axis.annotate(
            text,
            (place[0], place[1] + below),
            fontsize=7,
            color=s.RED if repaired else s.MUTED,
            ha="center",
            va="center",
        )


def _bar(axis: "Axes", lane: str, left: float, right: float, begin: float, colour: Any, text: str) -> None:
    start, width = (left - begin) / 60, max((right - left) / 60, 0.05)
    axis.barh(_LANES.index(lane), width, left=start, height=0.56, color=colour, alpha=0.85, linewidth=0)
    if text:
        axis.annotate(
            text, (start + 0.04, _LANES.index(lane)), fontsize=7, color=s.INK, va="center", annotation_clip=True
        )
