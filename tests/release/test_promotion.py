"""The gate and the record: who gets through, and what production refuses."""

import json
from dataclasses import fields, replace

import pytest

from ok_ml.config.models import ListGate
from ok_ml.errors import GateRefused, IntegrityError
from ok_ml.quality.ranking.bootstrap import Interval
from ok_ml.release.gate.anchor import Anchor, AnchorJudged, next_anchor
from ok_ml.release.gate.lineage import Lineage
from ok_ml.release.gate.promotion_record import PURPOSE, Decision, PromotionRecord, decide, promote, verify
from ok_ml.signing import sign

KEY = b"k" * 32
GATE = ListGate(metric="ndcg@10", not_worse_than_champion=True, floor_over_popularity=1.05)
POPULARITY = {"ndcg@10": 0.10}
LINEAGE = Lineage(
    git_commit="a" * 40, git_dirty=False, config_hash="c", dataset_versions={"ok_world/events/2018-02-07": "d"},
    dagster_run_id="r", seed=1, threads=2, lock_hash="l",
)  # fmt: skip

ANCHOR = Anchor({"config.seed": "1"}, {"seed": 1}, "3")


@pytest.fixture
def record():
    return PromotionRecord(
        experiment="prod_discovery",
        model_version="7",
        model_sha256="ab" * 32,
        metrics={"ndcg@10": 0.2, "coverage@10": None},
        champion_metrics=None,
        popularity_metrics=POPULARITY,
        decision=Decision(True, ("passed",)),
        lineage=LINEAGE,
        recipe={"config.seed": "2"},
        anchor=ANCHOR,
    )


@pytest.mark.parametrize(
    ("challenger", "champion", "difference", "promoted", "reason"),
    [
        (0.200, None, None, True, "passed: there is no champion yet"),
        (0.104, None, None, False, "refused: ndcg@10 0.1040, floor 0.1050 (1.05 x popularity's 0.1000)"),
        (0.1051, None, None, True, "passed: ndcg@10 0.1051, floor 0.1050"),
        (0.200, 0.200, None, True, "passed: ndcg@10 0.2000, champion 0.2000 on the same days"),
        (0.199, 0.200, None, False, "refused: ndcg@10 0.1990, champion 0.2000"),
        (0.199, 0.200, (-0.001, -0.004, 0.002), True, "difference -0.0010 [-0.0040, +0.0020] is within chance"),
        (0.190, 0.200, (-0.010, -0.014, -0.006), False, "refused: ndcg@10 0.1900, champion 0.2000"),
        (0.200, float("nan"), None, False, "the champion has no ndcg@10 on these days"),
        (float("nan"), None, None, False, "the challenger has no ndcg@10"),
    ],
)
def test_the_gate(challenger, champion, difference, promoted, reason):
    decision = decide(
        GATE,
        {"ndcg@10": challenger},
        None if champion is None else {"ndcg@10": champion},
        POPULARITY,
        difference=Interval(*difference) if difference else None,
    )
    assert decision.promote is promoted
    assert reason in "; ".join(decision.reasons)


# -- another recipe ------------------------------------------------------------------------------------------------


def against(value, difference, *, fresher=False, anchor=None):
    """The decision about a challenger beside a champion with 0.2000."""
    interval = Interval(*difference, 900) if difference else None
    at = {"ndcg@10": value}, {"ndcg@10": 0.2}
    return decide(GATE, *at, POPULARITY, difference=interval, fresher=fresher, anchor=anchor)


@pytest.mark.parametrize(
    ("value", "difference", "promoted", "told"),
    [
        (0.199, (-0.001, -0.0039, 0.002), True, "lower end has to be at least -0.0040, a margin of 2.0%"),
        (0.199, (-0.001, -0.0070, 0.005), False, "about 3,600 cases would make it narrow enough, these are 900"),
        (0.204, (0.004, -0.0041, 0.012), False, "too wide"),
        (0.195, (-0.005, -0.0060, -0.004), False, "difference -0.0050 [-0.0060, -0.0040]"),
        (0.200, None, True, "ndcg@10 has no interval"),
        (0.199, None, False, "ndcg@10 has no interval"),
    ],
)
def test_another_recipe_has_to_be_shown_not_to_be_worse(value, difference, promoted, told):
    decision = against(value, difference)
    assert decision.promote is promoted
    assert decision.reasons[1].startswith(
        f"{'passed' if promoted else 'refused'}: another recipe, ndcg@10 {value:.4f}, "
    )
    assert told in decision.reasons[1]
    assert ("too wide" in decision.reasons[1]) is (not promoted and difference is not None and value > 0.196)


def test_the_same_recipe_only_has_to_be_within_chance():
    fresh = against(0.199, (-0.001, -0.0070, 0.005), fresher=True)
    assert fresh.promote
    assert fresh.reasons[1].endswith("is within chance; the recipe is the same, the model only fresher")
    assert not against(0.195, (-0.005, -0.0060, -0.004), fresher=True).promote


def test_another_recipe_is_held_against_the_anchor_too():
    good, bad = Interval(0.001, -0.001, 0.003, 900), Interval(-0.006, -0.008, -0.004, 900)
    equal = 0.2, (0.0, -0.001, 0.001)
    held = against(*equal, anchor=AnchorJudged(ANCHOR, {"ndcg@10": 0.199}, good))
    assert held.promote
    assert "the anchor (the recipe of model 3) 0.1990 on the same days" in held.reasons[2]
    eroded = against(*equal, anchor=AnchorJudged(ANCHOR, {"ndcg@10": 0.206}, bad))
    assert [reason.partition(":")[0] for reason in eroded.reasons] == ["passed", "passed", "refused"]
    gone = against(*equal, anchor=AnchorJudged(ANCHOR, {}, missing="ideas/night.py:SHARE has changed since"))
    assert gone.promote
    assert (
        "the anchor (the recipe of model 3), which cannot be trained again: ideas/night.py:SHARE has "
        in gone.reasons[2]
    )
    unjudged = against(*equal, anchor=AnchorJudged(ANCHOR, {}))
    assert not unjudged.promote
    assert unjudged.reasons[2].endswith("materialise the evaluation again")


def test_a_later_question_is_judged_by_a_wider_interval():
    at = {"ndcg@10": 0.2}, {"ndcg@10": 0.2}
    told = {"difference": Interval(0.0, -0.0035, 0.0035, 900), "fresher": False}
    assert decide(GATE, *at, POPULARITY, **told).promote
    second = decide(GATE, *at, POPULARITY, **told, question=2)
    assert not second.promote
    assert "[-0.0043, +0.0043]" in second.reasons[1]
    assert "question 2 since the anchor was set" in second.reasons[1]


def test_the_anchor_gives_way_only_to_what_is_better_beyond_chance_or_when_it_is_gone():
    other = Anchor({}, {}, "4")

    def following(low, missing="", question=1):
        return next_anchor(other, ANCHOR, AnchorJudged(ANCHOR, {}, Interval(0.01, low, 0.02), missing), question)

    assert next_anchor(other, None, None, 1) is other
    assert next_anchor(other, ANCHOR, None, 1) is ANCHOR
    assert next_anchor(other, ANCHOR, AnchorJudged(ANCHOR, {}), 1) is ANCHOR
    assert (following(0.0), following(-0.001), following(0.001)) == (ANCHOR, ANCHOR, other)
    assert following(0.001, question=2) is ANCHOR
    assert following(-0.001, "gone") is other


def test_every_broken_rule_is_named():
    decision = decide(GATE, {"ndcg@10": 0.05}, {"ndcg@10": 0.2}, POPULARITY)
    assert [reason.split(":")[0] for reason in decision.reasons] == ["refused", "refused"]


def test_a_gate_without_the_champion_rule_ignores_it():
    gate = GATE.model_copy(update={"not_worse_than_champion": False})
    assert decide(gate, {"ndcg@10": 0.15}, {"ndcg@10": 0.2}, POPULARITY).promote


def test_a_model_that_hits_nothing_is_refused_even_where_popularity_hits_nothing():
    assert not decide(GATE, {"ndcg@10": 0.0}, None, {"ndcg@10": 0.0}).promote


def test_without_popularity_nothing_is_promoted():
    assert not decide(GATE, {"ndcg@10": 0.2}, None, {}).promote


def test_a_promoted_model_is_verified_after_a_round_trip(record):
    signed = promote(record, KEY, require_clean_tree=True)
    read = PromotionRecord.from_json(signed.to_json())
    assert read == signed
    verify(read, KEY, "ab" * 32, experiment="prod_discovery", require_clean_tree=True)


def test_a_record_of_before_there_were_recipes_and_anchors_is_valid(record):
    raw = json.loads(replace(record, recipe={}, anchor=None).to_json())
    old = {name: value for name, value in raw.items() if name not in ("recipe", "anchor", "signature")}
    lineage = {name: value for name, value in old["lineage"].items() if name not in ("extensions", "code_hash")}
    signature = sign({**old, "lineage": lineage}, KEY, purpose=PURPOSE)
    read = PromotionRecord.from_json(json.dumps({**old, "signature": signature}))
    assert (read.recipe, read.anchor) == ({}, None)
    verify(read, KEY, "ab" * 32)


def test_a_refused_model_gets_no_signature(record):
    refused = replace(record, decision=Decision(False, ("refused: ndcg@10 0.1040, floor 0.1050",)))
    with pytest.raises(
        GateRefused, match=r"model 7 of prod_discovery was refused by the gate: refused: ndcg@10 0\.1040"
    ):
        promote(refused, KEY, require_clean_tree=False)


@pytest.mark.parametrize(
    "name", [field.name for field in fields(Lineage) if field.name not in ("machine", "extensions", "code_hash")]
)
def test_any_gap_in_the_lineage_refuses(record, name):
    gap = replace(record, lineage=replace(LINEAGE, **{name: getattr(Lineage(), name)}))
    with pytest.raises(GateRefused, match=f"no complete lineage: {name} not recorded"):
        promote(gap, KEY, require_clean_tree=False)


def test_a_dataset_without_a_version_is_a_gap(record):
    gap = replace(record, lineage=replace(LINEAGE, dataset_versions={"ok_world/events/2018-02-07": ""}))
    with pytest.raises(GateRefused, match="dataset_versions not recorded"):
        promote(gap, KEY, require_clean_tree=False)


def test_a_model_without_a_hash_is_refused(record):
    with pytest.raises(GateRefused, match="model_sha256 not recorded"):
        promote(replace(record, model_sha256=""), KEY, require_clean_tree=False)


def test_a_dirty_tree_is_refused_in_production_and_noted_in_development(record):
    dirty = replace(record, lineage=replace(LINEAGE, git_dirty=True))
    with pytest.raises(GateRefused, match="trained from commit aaaaaaaaaaaa with uncommitted changes"):
        promote(dirty, KEY, require_clean_tree=True)
    signed = promote(dirty, KEY, require_clean_tree=False)
    assert signed.notes == (
        "trained from a tree with uncommitted changes: the commit alone does not make this model again",
    )
    verify(signed, KEY, "ab" * 32)
    with pytest.raises(GateRefused, match="uncommitted changes"):
        verify(signed, KEY, "ab" * 32, require_clean_tree=True)


@pytest.mark.parametrize(
    "change",
    [
        {"model_version": "8"},
        {"model_sha256": "cd" * 32},
        {"experiment": "other"},
        {"promoted_at": "2018-01-01"},
        {"metrics": {"ndcg@10": 0.3}},
        {"lineage": {**LINEAGE.as_dict(), "seed": 2}},
        {"decision": {"promote": True, "reasons": []}},
        {"notes": ["fine"]},
        {"recipe": {"config.seed": "1"}},
        {"anchor": {"recipe": {}, "settings": {}, "model_version": "3"}},
        {"anchor": None},
        {"signature": "0" * 64},
    ],
)
def test_a_changed_record_is_refused(record, change):
    raw = json.loads(promote(record, KEY, require_clean_tree=True).to_json())
    forged = PromotionRecord.from_json(json.dumps(raw | change))
    with pytest.raises(IntegrityError, match="signature of the promotion record does not match"):
        verify(forged, KEY, forged.model_sha256)


def test_other_bytes_another_key_or_another_experiment_are_refused(record):
    signed = promote(record, KEY, require_clean_tree=True)
    with pytest.raises(IntegrityError, match="model 7 of prod_discovery has SHA-256 cdcd"):
        verify(signed, KEY, "cd" * 32)
    with pytest.raises(IntegrityError, match="signed with another key"):
        verify(signed, b"x" * 32, "ab" * 32)
    with pytest.raises(GateRefused, match="is of experiment prod_discovery, expected other"):
        verify(signed, KEY, "ab" * 32, experiment="other")


def test_a_refusal_that_somebody_signed_is_still_a_refusal(record):
    refused = replace(record, decision=Decision(False, ("refused",)))
    with pytest.raises(GateRefused, match="refused by the gate"):
        verify(replace(refused, signature=sign(refused.payload(), KEY, purpose=PURPOSE)), KEY, "ab" * 32)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"decision": 1}', "not json"])
def test_what_is_not_a_record_is_refused(text):
    with pytest.raises(IntegrityError, match="this is not a promotion record"):
        PromotionRecord.from_json(text)


def test_a_record_with_unknown_fields_is_refused(record):
    raw = json.loads(promote(record, KEY, require_clean_tree=True).to_json())
    with pytest.raises(IntegrityError, match="unexpected keyword argument 'extra'"):
        PromotionRecord.from_json(json.dumps(raw | {"extra": 1}))
