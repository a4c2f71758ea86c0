"""What a look at predictions says, and limits of their numbers."""

import pytest

from ok_ml.lake import Lake
from ok_ml.stages.prediction_kind import Limit, fault_verdict

DT = "2026-02-03"


def look(tmp_path, **faults):
    return fault_verdict(Lake(tmp_path), "toy", DT, "3 users", {"empty lists": 0, **faults}, users=3)


def test_without_a_fault_one_finding_holds(tmp_path):
    verdict = look(tmp_path)
    (finding,) = verdict.findings
    assert (finding.passed, finding.key, verdict.blocks) == (True, "lists", False)
    assert verdict.headline == "3 users: nothing wrong"
    assert verdict.numbers == {"users": 3, "empty_lists": 0}


def test_each_fault_is_a_finding_that_blocks(tmp_path):
    verdict = look(tmp_path, **{"lists not in order": 1200, "empty lists": 2})
    assert [one.key for one in verdict.failed] == ["lists: empty lists", "lists: lists not in order"]
    assert {one.severity for one in verdict.failed} == {"block"}
    assert [(one.seen, one.expected) for one in verdict.failed] == [("2", "0"), ("1,200", "0")]
    assert verdict.headline == "3 users: 2 empty lists, 1,200 lists not in order"
    assert verdict.numbers == {"users": 3, "empty_lists": 2, "lists_not_in_order": 1200}


@pytest.mark.parametrize(
    ("side", "value", "holds"), [("least", 0.4, False), ("least", 0.5, True), ("most", 0.6, False)]
)
def test_a_limit_bounds_from_its_side_and_an_unknown_number_keeps_it(side, value, holds):
    limit = Limit("coverage@10", side, 0.5)
    assert limit.holds(value) is holds
    assert limit.holds(None)
    assert str(limit) == f"at {side} 0.5"
