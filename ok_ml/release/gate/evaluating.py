"""The newest model against its baselines and the present champion, on cases that none of them saw: of any type."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.lake import WHOLE, Manifest, fingerprint
from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport
from ok_ml.stages.evaluation import CHAMPION_NAME, EVALUATION_FILE, Evaluated
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.pipeline import Pipeline


def evaluate_model(pipeline: Pipeline, *, progress: Callable[[str], None]) -> tuple[Manifest, Evaluated]:
    """Ask every model, judge, draw, commit.

    Where there is no case, the evaluation has no row: whoever reads it sees that nothing was judged.
    """
    inputs, evaluator = pipeline.inputs_of(c.EVALUATION), pipeline.evaluator()
    rows, plots = list[dict[str, Any]](), dict[str, Path]()
    if evaluator.cases:
        report = compared(pipeline, evaluator, progress=progress)
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
            details={"cases": evaluator.cases, "days": pipeline.evaluated_days(), "judged_by": evaluator.judged_by},
        )
    return manifest, Evaluated(rows, plots)


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


def compared(pipeline: Pipeline, evaluator: Evaluator[Any], *, progress: Callable[[str], None]) -> EvaluationReport:
    """Every model's answers, judged."""
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
    return evaluator.report(answers, evaluator.pairs(list(answers)))
