"""Kinds of honest logs: nothing in them is broken, and each does what some real log does."""

import math

import numpy as np

from tests.honest_logs.network import EVENING, FLAT, OFFICE, HonestLog, Shape

SEED = 1
TYPES = {"click": 0.7, "like": 0.25, "comment": 0.05}
MEDIA = {"text": 0.5, "photo": 0.35, "video": 0.15}


def _weekly(*factors: float):
    return lambda day: factors[day % 7]


def _chance(name: str, day: int) -> np.random.Generator:
    return np.random.default_rng([sum(name.encode()), day])


def _wild(day: int) -> float:
    return float(_chance("wild", day).lognormal(0, 0.45))


def _later(first: int, then, before):
    return lambda day: then if day >= first else before


def _log(name: str, shape: Shape, history: int = 90, days: int = 30, stops: str = "") -> HonestLog:
    return HonestLog(name, SEED, shape, history, days, stops)


KINDS: tuple[HonestLog, ...] = (
    _log("steady, four weeks", Shape(), 28),
    _log("steady, three months", Shape(), 90),
    _log("steady, 20 days", Shape(rate=400), 20),
    _log("slow growth", Shape(factor=lambda day: 1.004**day, newcomers=lambda _d: 1.0), 120),
    _log("fast growth", Shape(rate=250, factor=lambda day: 1.02**day, newcomers=lambda day: 0.04 * 1.02**day * 60), 70),
    _log("decline", Shape(rate=1200, factor=lambda day: 0.988**day, leavers=lambda _d: 0.8), 90),
    _log("an office week", Shape(factor=_weekly(1, 1, 1, 1, 0.9, 0.12, 0.08), hours=lambda _d: OFFICE), 90),
    _log("a weekend site", Shape(factor=_weekly(0.6, 0.6, 0.6, 0.7, 1.2, 2.2, 2.0)), 63),
    _log("a week, short past", Shape(factor=_weekly(1, 1, 1, 1, 1.3, 0.5, 0.4)), 28),
    _log("a season", Shape(factor=lambda day: 1 + 0.6 * math.sin(2 * math.pi * day / 365)), 200),
    _log("a quiet holiday", Shape(factor=lambda day: 0.3 if day in (101, 102) else 1.0), 90),
    _log("a busy holiday", Shape(factor=lambda day: 3.5 if day in (100, 101, 102) else 1.0, newcomers=lambda d: 30 if d in (100, 101, 102) else 0.2), 90),
    _log("a new button", Shape(shares=_later(100, {**TYPES, "reshare": 0.2}, TYPES)), 90),
    _log("a button that the mapping does not know", Shape(shares=_later(100, {**TYPES, "react": 0.45}, TYPES)), 90),
    _log("a new content", Shape(contents=_later(98, {**MEDIA, "story": 0.35}, MEDIA), shares=lambda _d: TYPES), 90),
    _log("a launch", Shape(factor=_later(97, 1.7, 1.0), duration=_later(97, 9000.0, 5000.0), newcomers=_later(97, 4, 0)), 90),
    _log("a button is removed", Shape(shares=_later(99, {"click": 0.75, "like": 0.25}, TYPES)), 90),
    _log("missing days", Shape(missing=frozenset({11, 30, 31, 52, 77, 95, 103, 104})), 90),
    _log("five weeks without", Shape(missing=frozenset(range(30, 65))), 100),
    _log("bursts", Shape(factor=lambda day: 8.0 if day % 23 == 5 else 1.0), 90),
    _log("a first burst", Shape(factor=lambda day: 10.0 if day == 105 else 1.0), 90),
    _log("a source in vogue", Shape(one_source=lambda day: {99: 0.3, 100: 0.45, 101: 0.25}.get(day, 0.0)), 90),
    _log("a robot on some days", Shape(robot=lambda day: 900 if day % 17 == 3 else 0), 90),
    _log("a first robot", Shape(robot=lambda day: 4000 if day in (96, 97) else 0), 90),
    _log("a robot every day", Shape(robot=lambda _d: 300), 60),
    _log("ten users", Shape(rate=70, users=10, sources=60), 60, 30, "at least 20"),
    _log("one event a week", Shape(rate=60, users=420, sources=50), 120),
    _log("sessions", Shape(sessions=True), 30, 0, "second day"),
    _log("half a day at the end", Shape(until_hour={89: 12.0}), 90),
    _log("three time zones", Shape(zones=(-8.0, 0.0, 9.0), factor=_weekly(1, 1, 1, 1, 1, 1.3, 1.3)), 90),
    _log("summer time", Shape(zones=(3.0,), hours=lambda day: EVENING if day < 104 else (*EVENING[1:], EVENING[0])), 90),
    _log("three years", Shape(rate=60, users=150, factor=lambda day: 1 + 0.4 * math.sin(2 * math.pi * day / 365)), 1095),
    _log("newcomers only", Shape(once_a_user=True), 40, 0, "second day"),
    _log("a wave of newcomers", Shape(newcomers=lambda day: 60 if 98 <= day < 105 else 0.5, factor=lambda day: 1.6 if 98 <= day < 110 else 1.0), 90),
    _log("a wave of leavers", Shape(leavers=lambda day: 12 if 97 <= day < 107 else 0.0, factor=lambda day: 0.75 if day >= 97 else 1.0), 90),
    _log("few sources", Shape(sources=24), 60),
    _log("a catalogue that is renewed", Shape(lives_days=4, sources=60), 90),
    _log("round the clock", Shape(hours=lambda _d: FLAT), 60),
    _log("dates without a time", Shape(step_ms=86_400_000), 90),
    _log("minutes, and rows twice", Shape(step_ms=60_000, copies=0.03), 90),
    _log("heavy tails", Shape(duration=lambda _d: 4000.0, spread=2.0), 90),
    _log("longer content", Shape(duration=lambda day: 4000.0 * (2.2 if day >= 101 else 1.0), contents=lambda _d: MEDIA), 90),
    _log("an optional column fades", Shape(duration=lambda _d: 5000.0, nulls=lambda day: min(0.02 + 0.004 * day, 0.9)), 90),
    _log("two networks merge", Shape(newcomers=lambda day: 200 if day == 100 else 0.0, factor=_later(100, 1.8, 1.0)), 90),
    _log("a feed", Shape(rate=900, impressions=True, duration=lambda _d: 5000.0), 90),
    _log("a feed that is liked better", Shape(rate=900, impressions=True, click_rate=_later(100, 0.24, 0.15)), 90),
    _log("wild volumes", Shape(factor=_wild), 90),
    _log("a promotion every ten days", Shape(factor=lambda day: 2.5 if day % 10 == 4 else 1.0, shares=lambda day: {"click": 0.4, "like": 0.6} if day % 10 == 4 else TYPES), 90),
    _log("pay day", Shape(factor=lambda day: 2.0 if day % 30 < 3 else 0.9), 120),
    _log("content by season", Shape(contents=lambda day: {**MEDIA, "video": 0.15 + 0.1 * math.sin(day / 20)}), 90),
    _log("almost nothing", Shape(rate=25, users=40, sources=30), 90),
)  # fmt: skip
