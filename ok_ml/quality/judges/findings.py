"""One finding: what a judge says of one number, column, rule or list.

Rules, bands, expectations, limits, looks at predictions and the gate all say it in this one record, so that what blocks, since
when, who has accepted it and where to look is said, stored and shown alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ok_ml.config.models import Severity

SHOWN: Final = ("severity", "entity", "feature", "statistic", "seen", "expected", "score", "since", "message")
_ORDER: Final = {"block": 0, "warn": 1}


@dataclass(frozen=True)
class Finding:
    """One thing that was held against what is expected of it.

    Attributes
    ----------
    feature, entity, statistic
        What: (user_events, user, psi); of a number by day its group, nothing, and its metric.
    dt
        The day that was judged.
    about
        The subject in a sentence.
    note
        What else helps to read what was seen.
    advice
        The next step if it does not hold.
    since
        First day of the unbroken run of failing days; empty if it passed.
    look
        Where to look further.
    accepted
        Who has accepted it and why; it blocks nothing then, and needs no attention.
    kind
        What judged it: a kind of rules, bands, expectations, lists, limits, the gate.
    score
        How far a number is from its band, where it has one; worse is further from 0.
    text
        The sentence, where its judge has one of its own.
    """

    feature: str
    entity: str
    statistic: str
    expected: str
    seen: str
    severity: Severity
    passed: bool
    dt: str
    about: str = ""
    note: str = ""
    advice: str = ""
    since: str = ""
    look: str = ""
    accepted: str = ""
    kind: str = ""
    score: float | None = None
    text: str = ""

    @classmethod
    def told(cls, key: str, severity: Severity, text: str, dt: str, *, kind: str = "") -> "Finding":
        """Something that does not hold, of which there is a key and a sentence alone."""
        return cls("", "", key, "", "", severity, passed=False, dt=dt, kind=kind, text=text)

    @property
    def key(self) -> str:
        """What tells it from other findings of a verdict, whenever the same data are judged: an acceptance names it."""
        return key_of(self.entity, self.feature, self.statistic)

    @property
    def of(self) -> str:
        """Entity and feature, as a table names them."""
        return f"{self.entity} {self.feature}".strip()

    @property
    def message(self) -> str:
        """One sentence: subject, day, statistic, seen and expected; if it failed also since when, and what to do."""
        if self.text:
            return self.text
        said = f"{self.about} on {self.dt}: {self.statistic} is {self.seen}{self.note}, expected {self.expected}"
        if self.passed:
            return said
        since = ", since that day" if self.since == self.dt else f", since {self.since}" if self.since else ""
        return "; ".join(part for part in (said + since, self.advice, self.look) if part)


def key_of(entity: str, feature: str, statistic: str) -> str:
    """The key of a finding: a number by day, which is of no entity, is called as its series."""
    if entity:
        return " ".join(filter(None, (entity, feature, statistic)))
    return f"{statistic} of {feature}" if feature else statistic


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first."""
    return sorted(findings, key=order_of)


def order_of(one: Finding) -> tuple[bool, bool, int, float, str, str, str]:
    """What sorts findings, the worst first."""
    worse = -abs(one.score or 0.0)
    return one.passed, bool(one.accepted), _ORDER[one.severity], worse, one.entity, one.feature, one.statistic


def failures(findings: Iterable[Finding], severity: Severity | None = None) -> list[Finding]:
    """The findings that did not pass and were not accepted, all or of one severity."""
    return [f for f in findings if not f.passed and not f.accepted and severity in (None, f.severity)]


def summary(findings: Sequence[Finding]) -> str:
    """One line for the description of a check: counts, and the worst finding in words."""
    bad, accepted = failures(findings), [one.accepted for one in findings if one.accepted]
    if not bad:
        return f"all {len(findings)} rules hold" + (f", or are {accepted[0]}" if accepted else "")
    blocking = len(failures(bad, "block"))
    return f"{blocking} blocking and {len(bad) - blocking} warning of {len(findings)} rules: {bad[0].message}"


def rows_of(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as rows of a table for people, without columns that say nothing of any."""
    rows = [{name: getattr(one, name) for name in SHOWN} for one in findings]
    told = [name for name in SHOWN if any(row[name] not in ("", None) for row in rows)]
    return [{name: "" if row[name] is None else row[name] for name in told} for row in rows]


def number(value: float) -> str:
    """A number as people read it."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 and value == int(value) else f"{value:.6g}"
