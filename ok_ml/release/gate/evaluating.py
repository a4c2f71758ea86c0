"""The newest model against its baselines and the present champion, on cases that none of them saw: of any type."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.lake import WHOLE, Manifest, fingerprint
from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport
from ok_ml.release.gate.anchor import ANCHOR_NAME
from ok_ml.release.gate.recipe_question import CANNOT_TRAIN, ask_anchor, recipe_question
from ok_ml.stages.evaluation import CHAMPION_NAME, EVALUATION_FILE, WITHOUT_ANCHOR, Evaluated
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.pipeline import Pipeline


def evaluate_model(
    pipeline: Pipeline, session: Callable[[], Any], *, progress: Callable[[str], None]
) -> tuple[Manifest, Evaluated]:
    """Ask every model, judge, draw, commit.

    Where there is no case, the evaluation has no row: whoever reads it sees that nothing was judged.

    Parameters
    ----------
    session
        Gives a Spark session; called only if the anchor is trained again and a stage of it needs one.
    """
    inputs, evaluator = pipeline.inputs_of(c.EVALUATION), pipeline.evaluator()
    rows, plots, missing = list[dict[str, Any]](), dict[str, Path](), ""
    if evaluator.cases:
        anchor, missing = _anchor(pipeline, evaluator, session, progress)
        report = compared(pipeline, evaluator, anchor, progress=progress)
        rows, plots = report.rows(), evaluator.plots(report)
    else:
        progress(evaluator.nothing)
    with pipeline.lake.staged(pipeline.name, c.EVALUATION, WHOLE) as folder:
        (folder / EVALUATION_FILE).write_text(json.dumps(rows, indent=1))
        manifest = pipeline.lake.commit(
            folder,
            rows=evaluator.cases,
            data_version=fingerprint({"rows": rows}),
            inputs=inputs,
            details={
                "cases": evaluator.cases,
                "days": pipeline.evaluated_days(),
                "judged_by": evaluator.judged_by,
                **({WITHOUT_ANCHOR: missing} if missing else {}),
            },
        )
    return manifest, Evaluated(rows, plots, missing)


def judged(pipeline: Pipeline, *, progress: Callable[[str], None]) -> EvaluationReport:
    """The newest model, the champion and every baseline on the same cases; nothing is written.

    Raises
    ------
    DataError
        There is no case.
    """
    evaluator = pipeline.evaluator()
    if not evaluator.cases:
        raise DataError(
            evaluator.nothing,
            why="a model that nothing can judge cannot be promoted",
            remedy="raise stages.evaluation.days, or check the labels of the dataset (`grades` of a log of events)",
        )
    return compared(pipeline, evaluator, progress=progress)


def _anchor(
    pipeline: Pipeline, evaluator: Evaluator[Any], session: Callable[[], Any], say: Callable[[str], None]
) -> tuple[Any | None, str]:
    """The answers of the gate's anchor where the gate will ask for them, or why there are none."""
    question = recipe_question(pipeline, pipeline.lake.manifest(pipeline.name, c.MODEL))
    if question.anchor is None or not question.asked:
        return None, ""
    say(f"another recipe than the champion's: training {question.anchor} on the same days")
    try:
        return ask_anchor(pipeline, evaluator, question.anchor, session, say=say), ""
    except CANNOT_TRAIN as error:
        missing = error.problem.partition("\n")[0]
        say(f"{question.anchor} cannot be trained again: {missing}")
        return None, missing


def compared(
    pipeline: Pipeline, evaluator: Evaluator[Any], anchor: Any | None = None, *, progress: Callable[[str], None]
) -> EvaluationReport:
    """Every model's answers, judged; `anchor` are those of the gate's anchor."""
    progress(evaluator.about)
    if evaluator.judged_by:
        progress(f"the judgement is {evaluator.judged_by}")
    progress("asking the new model")
    answers = {evaluator.challenger: evaluator.newest()}
    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    served = evaluator.champion(champion) if champion is not None else None
    if served is not None:
        answers[CHAMPION_NAME] = served
    progress("asking the baselines")
    answers |= dict(evaluator.baselines())
    pairs = evaluator.pairs(list(answers))
    if anchor is not None:
        answers[ANCHOR_NAME] = anchor
        pairs.append((evaluator.challenger, ANCHOR_NAME))
    return evaluator.report(answers, pairs)
