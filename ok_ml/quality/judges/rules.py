"""Rules about small tables, run by Great Expectations: numbers between limits, words among allowed ones.

A rule a feature would be hundreds of expectations at about 10 ms each. So every rule is a row of one table, with its limits
beside what was seen, and an expectation compares two columns for all rules at once: three expectations, however many rules.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ok_ml.config.gx import great_expectations
from ok_ml.config.models import Severity
from ok_ml.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_RULE, _SEEN, _LOW, _HIGH, _WORD = "rule", "seen", "low", "high", "word"
_ORDER: Final = {"block": 0, "warn": 1}


@dataclass(frozen=True)
class Rule:
    """One thing that must hold.

    Attributes
    ----------
    entity, feature
        Whose statistic: (user, user_events), or (events, content_type), or (events, "") for a whole table.
    low, high
        Limits of a number; None does not limit.
    allowed
        Of words: all that may be seen.
    expected, shown
        What people read; default: from the limits, and from what was seen.
    about
        The subject in a sentence.
    note
        What else helps to read what was seen.
    advice
        The next step if it does not hold.
    """

    entity: str
    feature: str
    statistic: str
    seen: float | tuple[str, ...]
    severity: Severity
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    expected: str = ""
    shown: str = ""
    about: str = ""
    note: str = ""
    advice: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other rules of a day, together with its severity."""
        return self.entity, self.feature, self.statistic

    @property
    def holds(self) -> bool:
        """Whether it holds, without Great Expectations: for the days before the one that is judged."""
        if isinstance(self.seen, tuple):
            return set(self.seen) <= set(self.allowed)
        return (self.low is None or self.seen >= self.low) and (self.high is None or self.seen <= self.high)


@dataclass(frozen=True)
class Finding:
    """One statistic of one feature or column held against its rule.

    Attributes
    ----------
    dt
        The day that was judged.
    since
        First day of the unbroken run of failing days; empty if it passed.
    look
        Where to look further.
    accepted
        Who has accepted it and why; it blocks nothing then, and needs no attention.
    """

    feature: str
    entity: str
    statistic: str
    expected: str
    seen: str
    severity: Severity
    passed: bool
    dt: str
    about: str
    note: str = ""
    advice: str = ""
    since: str = ""
    look: str = ""
    accepted: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other findings of a day."""
        return self.entity, self.feature, self.statistic

    @property
    def message(self) -> str:
        """One sentence: subject, day, statistic, seen and expected; if it failed also since when, and what to do."""
        said = f"{self.about} on {self.dt}: {self.statistic} is {self.seen}{self.note}, expected {self.expected}"
        if self.passed:
            return said
        since = ", since that day" if self.since == self.dt else f", since {self.since}" if self.since else ""
        return "; ".join(part for part in (said + since, self.advice, self.look) if part)


def judge(rules: Sequence[Rule], dt: str) -> list[Finding]:
    """One finding a rule, failures first, blocking ones before warnings.

    A warning that would only repeat what a blocking finding says of the same statistic is left out.
    """
    failed = run_suite(rules)
    blocking = {rule.key for place, rule in enumerate(rules) if place in failed and rule.severity == "block"}
    findings = [_finding(rule, failed.get(place), dt) for place, rule in enumerate(rules)]
    return in_order(found for found in findings if found.severity == "block" or found.key not in blocking)


def with_since(
    findings: Sequence[Finding], earlier: Iterable[str], rules_on: Callable[[str], Sequence[Rule]]
) -> list[Finding]:
    """The findings, those that failed with the first day of their unbroken run of failing days.

    Parameters
    ----------
    earlier
        Days before the judged one, newest first; they are looked at only while something still fails.
    rules_on
        The same rules with what was seen on another day; none where nothing is known of it.
    """
    since = {(found.key, found.severity): found.dt for found in failures(findings)}
    open_ = set(since)
    for dt in earlier:
        if open_:
            broken = {(rule.key, rule.severity) for rule in rules_on(dt) if not rule.holds}
            open_ &= broken
            since |= dict.fromkeys(open_, dt)
    return [replace(found, since=since.get((found.key, found.severity), "")) for found in findings]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first."""
    return sorted(
        findings, key=lambda f: (f.passed, bool(f.accepted), _ORDER[f.severity], f.entity, f.feature, f.statistic)
    )


def failures(findings: Sequence[Finding], severity: Severity | None = None) -> list[Finding]:
    """The findings that did not pass and were not accepted, all or of one severity."""
    return [f for f in findings if not f.passed and not f.accepted and severity in (None, f.severity)]


def summary(findings: Sequence[Finding]) -> str:
    """One line for the description of a check: counts, and the worst finding in words."""
    bad, accepted = failures(findings), [found.accepted for found in findings if found.accepted]
    if not bad:
        return f"all {len(findings)} rules hold" + (f", or are {accepted[0]}" if accepted else "")
    blocking = len(failures(bad, "block"))
    return f"{blocking} blocking and {len(bad) - blocking} warning of {len(findings)} rules: {bad[0].message}"


def number(value: float) -> str:
    """A number as people read it."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 and value == int(value) else f"{value:.6g}"


def _finding(rule: Rule, wrong: list[str] | None, dt: str) -> Finding:
    if isinstance(rule.seen, tuple):
        seen = rule.shown or ", ".join(wrong or rule.seen)
    else:
        seen = rule.shown or number(rule.seen)
    return Finding(
        feature=rule.feature,
        entity=rule.entity,
        statistic=rule.statistic,
        expected=rule.expected or _limits(rule),
        seen=seen,
        severity=rule.severity,
        passed=wrong is None,
        dt=dt,
        about=rule.about or f"{rule.entity} {rule.feature}".strip(),
        note=rule.note,
        advice=rule.advice,
    )


def _limits(rule: Rule) -> str:
    if isinstance(rule.seen, tuple):
        return f"one of {', '.join(rule.allowed)}"
    if rule.low is not None and rule.high is not None:
        return f"{number(rule.low)} .. {number(rule.high)}"
    return f">= {number(rule.low)}" if rule.low is not None else f"<= {number(rule.high or 0.0)}"


# -- Great Expectations ----------------------------------------------------------------------------------------------


def run_suite(rules: Sequence[Rule]) -> dict[int, list[str]]:
    """Place of each rule that does not hold -> the words that are not allowed (none of a number)."""
    import pandas as pd

    gxe = great_expectations().expectations

    numbers = [(n, r.low, r.seen, r.high) for n, r in enumerate(rules) if not isinstance(r.seen, tuple)]
    words = [(n, word) for n, r in enumerate(rules) if isinstance(r.seen, tuple) for word in r.seen]
    failed: dict[int, list[str]] = {}
    if numbers:
        frame = pd.DataFrame(numbers, columns=[_RULE, _LOW, _SEEN, _HIGH])
        frame[[_LOW, _SEEN, _HIGH]] = frame[[_LOW, _SEEN, _HIGH]].astype("float64")
        at_least = [
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=high, column_B=low, or_equal=True, ignore_row_if="either_value_is_missing"
            )
            for low, high in ((_LOW, _SEEN), (_SEEN, _HIGH))
        ]
        failed |= {row[_RULE]: [] for row in _validate(frame, at_least, [_RULE])}
    if words:
        frame = pd.DataFrame(words, columns=[_RULE, _WORD])
        pairs = [(n, word) for n, r in enumerate(rules) if isinstance(r.seen, tuple) for word in r.allowed]
        known = gxe.ExpectColumnPairValuesToBeInSet(column_A=_RULE, column_B=_WORD, value_pairs_set=pairs)
        for row in _validate(frame, [known], [_RULE, _WORD]):
            failed.setdefault(row[_RULE], []).append(row[_WORD])
    return failed


def _validate(frame: "pd.DataFrame", expectations: list[Any], index: list[str]) -> Iterator[dict[str, Any]]:
    """The rows that are not as expected; an expectation that raised is an error of ours, never a pass."""
    gx = great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("statistics").add_dataframe_asset("rules")
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
    found = batch.validate(
        gx.ExpectationSuite(name="declared", expectations=expectations),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": index},
    )
    for result in found.results:
        if result.exception_info.get("raised_exception"):
            columns = result.expectation_config.kwargs
            raise DataError(
                f"expectation {columns['column_B']} <= {columns['column_A']} could not be computed:"
                f" {result.exception_info.get('exception_message')}",
                why="a rule that was not checked must not count as passed",
                remedy="look at the row types of the statistics",
            )
        yield from result.result.get("unexpected_index_list") or []
