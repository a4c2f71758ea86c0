"""Rules as rows: Great Expectations and the plain comparison agree, and a finding says since when."""

import math

import pytest

from ok_ml.quality.judges.findings import failures, summary
from ok_ml.quality.judges.rules import Rule, judge, run_suite, with_since
from ok_ml.quality.judges.verdicts import from_table, to_table

DAY = "2026-02-05"


def rule(seen, low=None, high=None, severity="block", statistic="mean", feature="likes", allowed=()):
    return Rule("user", feature, statistic, seen, severity, low=low, high=high, allowed=tuple(allowed))


CASES = [
    (rule(1.0, low=1.0), True), (rule(0.999, low=1.0), False), (rule(1.0, high=1.0), True), (rule(1.001, high=1.0), False),
    (rule(2.0, 1.0, 3.0), True), (rule(4.0, 1.0, 3.0), False), (rule(0.0, 1.0, 3.0), False), (rule(math.inf, high=1e38), False),
    (rule(7.0), True), (rule(("a", "b"), allowed="abc"), True), (rule(("a", "z"), allowed="abc"), False),
    (rule((), allowed="a"), True), (rule(3, low=5), False),
]  # fmt: skip


def test_great_expectations_finds_what_a_plain_comparison_finds():
    rules = [one for one, _ in CASES]
    failed = run_suite(rules)
    assert [place not in failed for place in range(len(rules))] == [passed for _, passed in CASES]
    assert [one.holds for one in rules] == [passed for _, passed in CASES]
    assert failed[10] == ["z"]


def test_no_rule_is_no_finding():
    assert judge([], DAY) == []
    assert summary([]) == "all 0 rules hold"


def test_a_warning_that_repeats_a_blocking_finding_is_left_out():
    rules = [
        rule(9.0, high=5.0),
        rule(9.0, high=1.0, severity="warn"),
        rule(3.0, high=1.0, severity="warn", feature="age"),
    ]
    assert [(f.feature, f.severity) for f in failures(judge(rules, DAY))] == [("likes", "block"), ("age", "warn")]


def test_since_is_the_first_day_of_the_unbroken_run():
    seen = {"2026-02-01": 9.0, "2026-02-02": 0.0, "2026-02-03": 8.0, "2026-02-04": 7.0, DAY: 9.0}
    asked = []

    def rules_on(dt):
        asked.append(dt)
        return [rule(seen[dt], high=5.0)]

    earlier = sorted(set(seen) - {DAY}, reverse=True)
    (finding,) = with_since(judge(rules_on(DAY), DAY), earlier, rules_on)
    assert finding.since == "2026-02-03"
    assert finding.message == "user likes on 2026-02-05: mean is 9, expected <= 5, since 2026-02-03"
    assert asked == [DAY, "2026-02-04", "2026-02-03", "2026-02-02"]  # no further than needed


def test_a_day_of_which_nothing_is_known_ends_the_run():
    (finding,) = with_since(judge([rule(9.0, high=5.0)], DAY), ["2026-02-04"], lambda _dt: [])
    assert finding.since == DAY
    assert finding.message.endswith("expected <= 5, since that day")


def test_what_passed_says_nothing_of_since_and_looks_at_no_other_day():
    (finding,) = with_since(judge([rule(1.0, high=5.0)], DAY), ["2026-02-04"], lambda _dt: pytest.fail("not needed"))
    assert (finding.passed, finding.since) == (True, "")
    assert "since" not in finding.message


def test_a_verdict_comes_back_from_its_rows():
    findings = judge([one for one, _ in CASES], DAY)
    assert from_table(to_table(findings)) == findings
