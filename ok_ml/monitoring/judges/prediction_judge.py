"""The verdict on the newest predictions: what users would notice at once, and the limits that the YAML declares for them."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from ok_ml import columns as c
from ok_ml.errors import GateRefused
from ok_ml.monitoring.judges.expectation_judge import expectation_findings
from ok_ml.monitoring.judges.expectation_results import Expected
from ok_ml.monitoring.judges.prediction_limits import judge_limits
from ok_ml.quality.judges.acceptance import Found, Judged, acceptance_of, blocks, found_in, kept, still_open, told_of
from ok_ml.quality.judges.rules import Finding
from ok_ml.quality.judges.verdicts import LISTS_VERDICT
from ok_ml.stages.judgement import Judgement
from ok_ml.stages.pipeline import Pipeline

LISTS: Final = "lists"  # beginnings of keys of findings
LIMITS: Final = "limits"


def judge_predictions(pipeline: Pipeline, look: Judgement | None = None) -> Judged:
    """Judge the newest predictions and commit the verdict that publication asks for.

    While the present predictions have no statistics only they themselves are judged.

    Parameters
    ----------
    look
        What `PredictionKind.look` has said of them, where it was asked already.
    """
    lake, name = pipeline.lake, pipeline.name
    dt = lake.latest(name, c.PREDICTIONS)
    judged = Judged.now(lake, name, LISTS_VERDICT, dt, _findings(pipeline, dt, look or pipeline.kind.look(pipeline)))
    message = "; ".join(one.message for one in judged.found) or "nothing wrong"
    rows = pa.table({"message": pa.array([one.message for one in judged.found], pa.string())})
    details = {"blocks": blocks(judged.found), "headline": f"{dt}: {message}", **kept(judged)}
    inputs = {
        "predictions": judged.version,
        "limits": str([(str(one), one.metric) for one in pipeline.kind.limits(pipeline)]),
    }
    lake.write(name, LISTS_VERDICT, dt, rows, sort_by=["message"], inputs=inputs, details=details)
    return judged


def in_words(pipeline: Pipeline, judged: Judged, part: str, message: str) -> tuple[bool, str]:
    """Whether nothing of a part of a verdict is open, and what a check says of it: the way out before anything long."""
    found = [one for one in judged.found if one.key.startswith(part)]
    accepted = acceptance_of(pipeline.lake, judged)
    if any(one.key.startswith(part) for one in still_open(pipeline.lake, judged)):
        return False, f"{judged.dt} blocks; to go on, if the change is real: {judged.command}. {message}"
    return True, f"{accepted}. {message}" if found else message


def expected_findings(pipeline: Pipeline, judged: Judged, table: str) -> list[Finding]:
    """What is expected of the predictions or of their statistics, with what is accepted of the verdict on the lists."""
    expected = Expected.of(pipeline.project, pipeline.name).within([table])
    return told_of(pipeline.lake, judged, expectation_findings(expected, judged.dt))


def require_predictions(pipeline: Pipeline) -> None:
    """Publication judges again: a check binds only its own run.

    Raises
    ------
    GateRefused
        The newest predictions are broken, or beyond a declared limit that is not accepted, or were not counted.
    """
    judged = judge_predictions(pipeline)
    found = [one for one in still_open(pipeline.lake, judged) if one.severity == "block"]
    if found:
        raise GateRefused(
            f"{pipeline.name}: the {pipeline.kind.what} of {judged.dt}: {'; '.join(one.message for one in found)}",
            why="they would reach all users; what is served stays",
            remedy=f"{judged.command} if the change is real; else correct the data or the model and predict again, "
            f"see the plots of {pipeline.name}/{c.PREDICTION_STATISTICS}, or change checks.predictions",
        )
    judge_limits(pipeline)


def _findings(pipeline: Pipeline, dt: str, look: Judgement) -> Iterator[Found]:
    for name, count in look.wrong.items():
        yield Found(f"{LISTS}: {name}", "block", f"{count:,} {name}")
    has_statistics = pipeline.is_current(c.PREDICTION_STATISTICS, dt)
    for one in judge_limits(pipeline).broken if has_statistics else ():
        yield Found(f"{LIMITS}: {one.limit.metric}", "block", one.message)
    tables = [c.PREDICTIONS, *([c.PREDICTION_STATISTICS] if has_statistics else [])]
    yield from found_in(expectation_findings(Expected.of(pipeline.project, pipeline.name).within(tables), dt))
