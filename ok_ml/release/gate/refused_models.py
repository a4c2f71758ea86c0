"""What becomes of a model that the gate refused: the refusal is recorded, and a person may promote it by name all the same."""

import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import Severity
from ok_ml.lake import Manifest
from ok_ml.quality.judges.acceptance import Acceptance, Found, Judged, acceptance_of, blocks, kept, still_open
from ok_ml.quality.judges.verdicts import MODEL_VERDICT
from ok_ml.release.gate.promotion_record import REFUSED, Decision
from ok_ml.stages.pipeline import Pipeline


def let_through(
    pipeline: Pipeline, challenger: Manifest, present: Manifest | None, decision: Decision
) -> tuple[Decision, Judged]:
    """The gate's decision, or that of the person who has accepted just these reasons against just this model.

    The verdict is committed either way. It blocks where neither a champion nor a simple list could be served instead. What a promotion
    record must have, lineage above all, no acceptance can replace: it is asked for when the record is signed.
    """
    reasons = [reason for reason in decision.reasons if reason.startswith(REFUSED)]
    severity: Severity = "block" if present is None and not pipeline.simple_suffices() else "warn"
    dt = str(challenger.details["serve_cut"])
    judged = Judged.now(pipeline.lake, pipeline.name, MODEL_VERDICT, dt, [Found(one, severity, one) for one in reasons])
    rows = pa.table({"message": pa.array(reasons, pa.string())})
    details = {"blocks": blocks(judged.found), "headline": "; ".join(reasons), **kept(judged)}
    inputs = {"model": judged.version}
    pipeline.lake.write(pipeline.name, MODEL_VERDICT, dt, rows, sort_by=["message"], inputs=inputs, details=details)
    accepted = acceptance_of(pipeline.lake, judged)
    if not reasons or accepted is None or still_open(pipeline.lake, judged):
        return decision, judged
    by_hand = f"promoted by hand: {accepted.who}, {accepted.when}: {accepted.reason}"
    return Decision(True, (*decision.reasons, by_hand)), judged


def accepted_model(pipeline: Pipeline) -> Acceptance | None:
    """Who has accepted the newest model against the gate, if anyone has."""
    model = pipeline.lake.find(pipeline.name, c.MODEL)
    if model is None:
        return None
    dt = str(model.details.get("serve_cut", ""))
    return acceptance_of(pipeline.lake, Judged.now(pipeline.lake, pipeline.name, MODEL_VERDICT, dt))
