"""What the gate says of the newest model as verdicts: a refusal is recorded, and a person may promote it by name all the same."""

import math
from dataclasses import replace
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import Severity
from ok_ml.lake import Manifest
from ok_ml.quality.judges.acceptance import Acceptance, acceptance_of
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import MODEL_VERDICT, Verdict, commit, verdict_of, version_of
from ok_ml.release.gate.promotion_record import REFUSED, Decision, over_floor
from ok_ml.stages.evaluation import load_evaluation
from ok_ml.stages.pipeline import Pipeline

GATE: Final = "gate"  # kind of findings


def let_through(
    pipeline: Pipeline, challenger: Manifest, present: Manifest | None, decision: Decision
) -> tuple[Decision, Verdict]:
    """The gate's decision, or that of the person who has accepted just these reasons against just this model.

    The verdict is committed either way. It blocks where neither a champion nor a simple list could be served instead. What a promotion
    record must have, lineage above all, no acceptance can replace: it is asked for when the record is signed.
    """
    severity: Severity = "block" if present is None and not pipeline.simple_suffices() else "warn"
    dt = str(challenger.details["serve_cut"])
    reasons = [reason for reason in decision.reasons if reason.startswith(REFUSED)]
    findings = [Finding.told(one, severity, one, dt, kind=GATE) for one in reasons]
    verdict = verdict_of(pipeline.lake, pipeline.name, MODEL_VERDICT, dt, findings)
    verdict = replace(verdict, headline="; ".join(reasons))
    commit(pipeline.lake, verdict, inputs={"model": verdict.version})
    accepted = accepted_model(pipeline)
    if accepted is None or not verdict.accepted:
        return decision, verdict
    by_hand = f"promoted by hand: {accepted.who}, {accepted.when}: {accepted.reason}"
    return Decision(True, (*decision.reasons, by_hand)), verdict


def accepted_model(pipeline: Pipeline) -> Acceptance | None:
    """Who has accepted the newest model against the gate, if anyone has."""
    model = pipeline.lake.find(pipeline.name, c.MODEL)
    if model is None:
        return None
    place = pipeline.name, MODEL_VERDICT, str(model.details.get("serve_cut", ""))
    return acceptance_of(pipeline.lake, *place, version_of(pipeline.lake, *place))


def floor_verdict(pipeline: Pipeline) -> Verdict:
    """Whether the newest model is better than the floor baseline, as the gate will ask, and not worse than the best simple list.

    The gate puts the best simple list in the place of a model that is worse by whatever little; a person should look at the
    model where it is worse beyond chance, or no simple list may be served. No finding where they lack the metric.
    """
    newest, floor = pipeline.challenger, pipeline.floor
    model = pipeline.lake.find(pipeline.name, c.MODEL)
    dt = str(model.details.get("serve_cut", "")) if model is not None else ""
    evaluated = load_evaluation(pipeline)
    gate = pipeline.gate_by(evaluated.metrics)
    value, baseline = (evaluated.metrics(name).get(gate.metric, math.nan) for name in (newest, floor))
    verdict = verdict_of(pipeline.lake, pipeline.name, MODEL_VERDICT, dt)
    if math.isnan(value) or math.isnan(baseline):
        nothing = f"Nothing was judged: the evaluation has no {gate.metric} of {newest} and {floor}."
        return replace(verdict, headline=nothing)
    headline = f"{gate.metric}: {newest} {value:.4f}, {floor} {baseline:.4f}; at least {gate.floor:.2f} times {floor} is asked for."
    asked = [(headline, gate.floor * baseline, over_floor(gate, value, baseline))]
    numbers = {newest: value, floor: baseline}
    simple = pipeline.simple_model(evaluated.metrics)
    if simple is not None and simple.name != floor and gate.metric in simple.metrics:
        best = numbers[simple.name] = simple.metrics[gate.metric]
        told = f"The best simple list is {simple.name}, {best:.4f}; a model has to be at least as good."
        difference = evaluated.difference(gate.metric, newest, simple.name)
        by_chance = pipeline.serves_simple and difference is not None and difference.high >= 0
        if value < best and by_chance:
            told += " It is worse by no more than chance: the gate lets the list be served."
        asked.append((told, best, value >= best or by_chance))
    accepted = accepted_model(pipeline)
    findings = tuple(
        replace(
            Finding.told(gate.metric, "warn", told, dt, kind=GATE),
            expected=f">= {least:.4f}",
            seen=f"{value:.4f}",
            passed=passed,
            accepted="" if passed or accepted is None else str(accepted),
        )
        for told, least, passed in asked
    )
    return replace(verdict, findings=findings, headline=" ".join(told for told, _, _ in asked), numbers=numbers)
