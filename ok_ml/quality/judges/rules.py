"""Rules about small tables, run by Great Expectations: numbers between limits, words among allowed ones.

A rule a feature would be hundreds of expectations at about 10 ms each. So every rule is a row of one table, with its limits
beside what was seen, and an expectation compares two columns for all rules at once: three expectations, however many rules.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ok_ml.config.gx import great_expectations
from ok_ml.config.models import Severity
from ok_ml.errors import DataError
from ok_ml.partitions import run_start
from ok_ml.quality.judges.findings import Finding, in_order, key_of, number

if TYPE_CHECKING:
    import pandas as pd

_RULE, _SEEN, _LOW, _HIGH, _WORD = "rule", "seen", "low", "high", "word"


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
    kind
        Name of the check that tells of it.
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
    kind: str = ""

    @property
    def key(self) -> str:
        """What tells it from other rules of a day, together with its severity."""
        return key_of(self.entity, self.feature, self.statistic)

    @property
    def holds(self) -> bool:
        """Whether it holds, without Great Expectations: for the days before the one that is judged."""
        if isinstance(self.seen, tuple):
            return set(self.seen) <= set(self.allowed)
        return (self.low is None or self.seen >= self.low) and (self.high is None or self.seen <= self.high)


def judge(rules: Sequence[Rule], dt: str) -> list[Finding]:
    """One finding a rule, failures first, blocking ones before warnings.

    A warning that would only repeat what a blocking finding says of the same statistic is left out.
    """
    failed = run_suite(rules)
    blocking = {rule.key for place, rule in enumerate(rules) if place in failed and rule.severity == "block"}
    findings = [_finding(rule, failed.get(place), dt) for place, rule in enumerate(rules)]
    return in_order(one for one in findings if one.severity == "block" or one.key not in blocking)


def with_since(
    findings: Sequence[Finding], earlier: Sequence[str], rules_on: Callable[[str], Sequence[Rule]]
) -> list[Finding]:
    """The findings, those that failed with the first day of their unbroken run of failing days.

    Parameters
    ----------
    earlier
        Days before the judged one, newest first.
    rules_on
        The same rules with what was seen on another day; none where nothing is known of it.
    """

    @cache
    def broken(dt: str) -> set[tuple[str, Severity]]:
        return {(rule.key, rule.severity) for rule in rules_on(dt) if not rule.holds}

    def since(one: Finding) -> str:
        return run_start(one.dt, earlier, lambda dt: (one.key, one.severity) in broken(dt))

    return [one if one.passed else replace(one, since=since(one)) for one in findings]


def rule_of(finding: Finding, rules: Iterable[Rule]) -> Rule | None:
    """The rule behind a finding, among those of its day or of another."""
    return next((rule for rule in rules if (rule.key, rule.severity) == (finding.key, finding.severity)), None)


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
        kind=rule.kind,
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
    validated = batch.validate(
        gx.ExpectationSuite(name="declared", expectations=expectations),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": index},
    )
    for result in validated.results:
        if result.exception_info.get("raised_exception"):
            columns = result.expectation_config.kwargs
            raise DataError(
                f"expectation {columns['column_B']} <= {columns['column_A']} could not be computed:"
                f" {result.exception_info.get('exception_message')}",
                why="a rule that was not checked must not count as passed",
                remedy="look at the row types of the statistics",
            )
        yield from result.result.get("unexpected_index_list") or []
