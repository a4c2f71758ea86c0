"""Training set and ranker of an experiment, and the bundle that scoring loads."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ok_ml import columns as c
from ok_ml.errors import NothingToLearn
from ok_ml.lake import WHOLE, Manifest
from ok_ml.monitoring.series.feature_counts import freeze_reference
from ok_ml.pipelines.source_recommendation.calibrating import calibrate
from ok_ml.pipelines.source_recommendation.fitting import train_fit
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.bundles import as_trained
from ok_ml.ranked_lists.fits import brought_up_to, fitted_for, recipe_of_fits
from ok_ml.release.model_record import commit_model
from ok_ml.stages.plot_files import plot_path
from ok_ml.stages.training import UNLEARNT, Register, Trained

if TYPE_CHECKING:
    from ok_ml.recommender.ranking.calibration import Calibration
    from ok_ml.recommender.ranking.gather import FeatureLayout
    from ok_ml.recommender.ranking.ranker import TrainedRanker
    from ok_ml.recommender.ranking.ranking_context import Cut


def assemble_training_set(pipeline: RankingPlan, *, progress: Callable[[str], None]) -> Manifest:
    """Label the candidates of the days before the evaluation, with the features of the day before each; commit.

    A log in which no user met anything new on the label days leaves a set without rows where a simple list may be served.

    Raises
    ------
    NothingToLearn
        The same where a learned champion is still served, or where `gate.fallback` forbids a simple list.
    """
    from ok_ml.recommender.ranking.training_set import (
        GROUP,
        LABEL,
        SORT_BY,
        LabelDay,
        TrainingTask,
        create_builder,
        empty_training_set,
        require_training_set,
    )

    plan, inputs = pipeline.calendar(), pipeline.inputs_of(c.TRAINING_SET)
    days = [LabelDay(dts[0], feature_dt, dts[1:]) for feature_dt, dts in pipeline.labelled_lists()]
    progress(f"labels of {plan.label_dts[0]} .. {plan.label_dts[-1]}")
    stages = pipeline.config.stages
    layout = pipeline.layout()
    task = TrainingTask(
        pipeline.tables,
        days,
        _train_cuts(pipeline, layout),
        layout,
        pipeline.dataset.grades,
        stages.training_set,
        stages.predictions.candidates,
        pipeline.config.seed,
    )
    builder = create_builder(stages.training_set.builder, pipeline.project.root)
    unlearnt = {}
    try:
        table = require_training_set(builder.build(task), task)
    except NothingToLearn as error:
        if not pipeline.simple_suffices():
            raise
        table, unlearnt = empty_training_set(layout), {UNLEARNT: error.problem}
        progress(f"{error.problem}: a simple list will be served")
    labels = table[LABEL].to_numpy()
    return pipeline.lake.write(
        pipeline.name,
        c.TRAINING_SET,
        WHOLE,
        table,
        sort_by=list(SORT_BY),
        inputs=inputs,
        details={
            "positives": int((labels > 0).sum()),
            "lists": int(table[GROUP].to_numpy().max(initial=-1)) + 1,
            "features": len(layout.feature_order()),
            "label_days": f"{plan.label_dts[0]} .. {plan.label_dts[-1]}",
            **unlearnt,
        },
    )


def train_model(
    pipeline: RankingPlan,
    register: Register,
    *,
    dagster_run_id: str,
    progress: Callable[[str], None],
) -> tuple[Manifest, Trained]:
    """Fit the ranker, write the bundle with the reference that drift is judged against, register and commit it."""
    inputs = pipeline.inputs_of(c.MODEL)
    table = pipeline.lake.read(pipeline.name, c.TRAINING_SET)
    unlearnt = pipeline.lake.manifest(pipeline.name, c.TRAINING_SET).details.get(UNLEARNT)
    ranker = fit_ranker(pipeline, table) if unlearnt is None else _popularity_list(pipeline)
    progress(f"trained on {table.num_rows:,} rows; " + ", ".join(f"{k} {v:.4f}" for k, v in ranker.held_out.items()))
    # An attempt is judged, and nothing is judged against it or served: it needs no probabilities, no reference, no pictures.
    calibration, told = (None, "an attempt") if pipeline.is_attempt else calibrate(pipeline, ranker.ranker)
    progress(f"{'probabilities' if calibration is not None else 'scores only order lists'}: {told}")
    with pipeline.lake.staged(pipeline.name, c.MODEL, WHOLE) as folder:
        write_model_bundle(pipeline, ranker, folder, calibration)
        bins = "" if pipeline.is_attempt else freeze_reference(pipeline, folder)
        plots = {} if pipeline.is_attempt else _draw(pipeline, ranker)
        trained = as_trained(folder, ranker, _metrics(ranker, table.num_rows), plots)
        manifest = commit_model(
            pipeline,
            trained,
            register,
            inputs,
            rows=table.num_rows,
            bins=bins,
            dagster_run_id=dagster_run_id,
            calibration=told,
            **({UNLEARNT: unlearnt} if unlearnt is not None else {}),
        )
    return manifest, trained


def _popularity_list(pipeline: RankingPlan) -> "TrainedRanker":
    """What stands for a model where nothing could be learnt."""
    import numpy as np

    from ok_ml.recommender.ranking.column_ranker import POPULARITY, ColumnRanker
    from ok_ml.recommender.ranking.ranker import TrainedRanker

    names = tuple(pipeline.layout().feature_order())
    return TrainedRanker(ColumnRanker(names, POPULARITY), sample=np.zeros((1, len(names)), np.float32))


def _train_cuts(pipeline: RankingPlan, layout: "FeatureLayout") -> "Callable[[str], Cut]":
    """Feature day -> that day with vectors and neighbours fitted before the first label of its window; all else as of that day."""
    from ok_ml.recommender.ranking.ranking_context import Cut

    plan = pipeline.calendar()

    def cut_of(dt: str) -> Cut:
        fitted = brought_up_to(pipeline, fitted_for(pipeline, train_fit(plan, plan.window_of(dt).cut)), dt)
        return Cut.load(pipeline.tables, dt, fitted=fitted, layout=layout)

    return cut_of


def fit_ranker(pipeline: RankingPlan, table: Any) -> "TrainedRanker":
    """Train the ranker that the YAML names on a training set."""
    from ok_ml.recommender.ranking.ranker_training import train_ranker

    names, stage = pipeline.layout().feature_order(), pipeline.config.stages.model
    return train_ranker(table, names, stage, pipeline.config.seed, root=pipeline.project.root)


def write_model_bundle(
    pipeline: RankingPlan, trained: "TrainedRanker", folder: Path, calibration: "Calibration | None" = None
) -> None:
    """Write what a champion is into a folder."""
    from ok_ml.recommender.inference.scoring import ScoringBundle

    stage, recipe = pipeline.config.stages.predictions, recipe_of_fits(pipeline)
    ScoringBundle(trained.ranker, pipeline.layout(), stage, recipe, calibration).save(folder, trained.sample)


def _metrics(ranker: "TrainedRanker", rows: int) -> dict[str, float]:
    return {f"held_out.{name}": value for name, value in ranker.held_out.items()} | {"training_rows": float(rows)}


def _draw(pipeline: RankingPlan, trained: "TrainedRanker") -> dict[str, Path]:
    from ok_ml.quality.plots import evaluation_plots as plots

    paths = {name: plot_path(pipeline, f"{name}.png") for name in ("learning_curve", "feature_importance")}
    curves = {name: values for name, values in trained.curve.items() if values}
    for metric, values in list(curves.items())[:1]:
        plots.learning_curve(
            {"held-out users": values}, metric=metric, path=paths["learning_curve"], best_iteration=trained.kept
        )
    if trained.importance:
        names, gains = list(trained.importance), list(trained.importance.values())
        plots.feature_importance(names, gains, path=paths["feature_importance"])
    return {name: path for name, path in paths.items() if path.exists()}
