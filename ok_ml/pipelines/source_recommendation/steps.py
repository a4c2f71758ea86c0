"""What makes the stages: read, call one pure function, commit, and say what came out."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation as P
from ok_ml.stages.stage import Made, Page, Plot, Shown, StepContext, Table, Text

if TYPE_CHECKING:
    from pathlib import Path

_WORST_SHOWN = 15


def plots(pictures: "Mapping[str, Path]") -> dict[str, Shown]:
    """Pictures by the name under which a page shows them."""
    return {name: Plot(path) for name, path in pictures.items()}


# -- daily ---------------------------------------------------------------------------------------------------------


def features(pipeline: P, context: StepContext) -> dict[str, Made]:
    """All feature tables in one Spark pass."""
    from ok_ml.pipelines.source_recommendation.featuring import build_features, describe_features

    manifests = build_features(pipeline, context.session(), context.days, progress=context.say)
    described = {table: describe_features(pipeline, table) for table in manifests}
    return {
        table: Made(made, {"features": Table(described[table]) if described[table] else None})
        for table, made in manifests.items()
    }


def feature_statistics(pipeline: P, context: StepContext) -> Made:
    """Statistics of every feature, with the drift of the newest day."""
    from ok_ml.monitoring.judges.data_judge import page_of
    from ok_ml.monitoring.judges.drift_watch import build_statistics, drift_rows, plot_drift
    from ok_ml.monitoring.plots.feature_plots import plot_features

    manifests, newest = build_statistics(pipeline, context.days), context.days[-1]
    drift, picture, page = (
        drift_rows(pipeline, newest),
        plot_drift(pipeline, newest),
        page_of(pipeline.project, pipeline.name),
    )
    shown: dict[str, Shown] = {
        "worst_drift": Table(drift[:_WORST_SHOWN]) if drift else None,
        **plots(plot_features(pipeline, newest)),
        "psi": Plot(picture) if picture is not None else None,
        "every_feature_by_day": Page(page) if page is not None else None,
    }
    return Made(manifests, shown)


def online_metrics(pipeline: P, context: StepContext) -> Made:
    """What was served against what people did."""
    from ok_ml.monitoring.plots.series_plots import plot_online
    from ok_ml.monitoring.series.online_metrics import build_online_metrics

    manifests = build_online_metrics(pipeline, context.days, progress=context.say)
    return Made(manifests, plots(plot_online(pipeline)))


# -- training ------------------------------------------------------------------------------------------------------


def embeddings(pipeline: P, context: StepContext) -> Made:
    """The fits of every cut. What a promotion asks for in the end is asked for here, before the work."""
    from ok_ml.pipelines.source_recommendation.fitting import fit_cuts
    from ok_ml.release.promoting import require_promotable

    require_promotable(pipeline.project)
    return Made([fit_cuts(pipeline.pinned(), context.session, progress=context.say)])


def embedding_statistics(pipeline: P, _context: StepContext) -> Made:
    """Numbers of the newest serving fit."""
    from ok_ml.monitoring.plots.model_plots import plot_embeddings
    from ok_ml.pipelines.source_recommendation.embedding_watch import build_embedding_statistics

    return Made([build_embedding_statistics(pipeline)], plots(plot_embeddings(pipeline)))


def training_set(pipeline: P, context: StepContext) -> Made:
    """Labelled rows."""
    from ok_ml.pipelines.source_recommendation.training import assemble_training_set

    return Made([assemble_training_set(pipeline.pinned(), progress=context.say)])


def model(pipeline: P, context: StepContext) -> Made:
    """The ranker, logged and registered."""
    from ok_ml.pipelines.source_recommendation.training import train_model
    from ok_ml.release.tracking import log_model

    with context.tracked() as tracked:
        manifest, trained = train_model(
            pipeline.pinned(),
            partial(log_model, tracked, pipeline),
            dagster_run_id=context.run_id,
            progress=context.say,
        )
    return Made([manifest], {"reason": context.reason, **plots(trained.plots)})


def evaluation(pipeline: P, context: StepContext) -> Made:
    """The model beside its baselines."""
    from ok_ml.pipelines.source_recommendation.evaluating import evaluate_model
    from ok_ml.release.tracking import log_evaluation

    with context.tracked() as tracked:
        manifest, evaluated = evaluate_model(pipeline.pinned(), progress=context.say)
        log_evaluation(tracked, evaluated)
    shown: dict[str, Shown] = {
        "comparison": Table(evaluated.shown("score")),
        "paired_differences": Table(evaluated.shown("difference")),
        "by_segment": Table(evaluated.shown("segment")),
        "share_of_the_way_to_the_oracle": Table(evaluated.shown("attainable")),
    }
    headline = {f"two_stage {metric}": value for metric, value in evaluated.metrics("two_stage").items()}
    return Made([manifest], {**shown, **headline, **plots(evaluated.plots)})


def champion(pipeline: P, context: StepContext) -> Made:
    """The decision about the newest model."""
    from ok_ml.release.promoting import promote
    from ok_ml.release.tracking import log_simple_list

    with context.tracked() as tracked:
        register = partial(log_simple_list, tracked, pipeline)
        manifest = promote(pipeline.pinned(), context.registry(), register, dagster_run_id=context.run_id)
    return Made([manifest], {"reason": context.reason, "decision": _decision(manifest)})


def _decision(manifest: Manifest) -> Text:
    return Text("\n".join(f"- {reason}" for reason in manifest.details.get("reasons", [])) or "-")


# -- serving -------------------------------------------------------------------------------------------------------


def predictions(pipeline: P, context: StepContext) -> Made:
    """The newest day's lists, once its features are judged against the present champion."""
    from ok_ml.pipelines.source_recommendation.predicting import plot_scores, predict

    pinned = pipeline.pinned()
    _settle(pinned, context)
    manifest = predict(pinned, context.session(), progress=context.say)
    return Made([manifest], {"scores": Plot(plot_scores(pipeline, manifest.partition))})


def _settle(pipeline: P, context: StepContext) -> None:
    """Judge the day's features again where a new champion brought a new reference, and say so on their asset."""
    from ok_ml.monitoring.judges.drift_watch import settle_verdict

    verdict = settle_verdict(pipeline)
    if verdict is not None:
        context.say(f"features judged against the present champion: {verdict.headline}")
        rows = pipeline.lake.manifest(pipeline.name, c.FEATURE_STATISTICS, verdict.dt).rows
        context.observe(c.FEATURE_STATISTICS, verdict.dt, {"dagster/row_count": rows})


def prediction_statistics(pipeline: P, context: StepContext) -> Made:
    """Numbers of the newest lists."""
    from ok_ml.monitoring.plots.model_plots import plot_predictions
    from ok_ml.monitoring.series.prediction_watch import build_prediction_statistics

    manifest = build_prediction_statistics(pipeline, progress=context.say)
    return Made([manifest], plots(plot_predictions(pipeline)))


def publication(pipeline: P, context: StepContext) -> Made:
    """The newest lists in the topic."""
    from ok_ml.release.publishing import publish

    return Made([publish(pipeline, progress=context.say)])


def live_predictions(pipeline: P, context: StepContext) -> Made:
    """The publication in the storage; one that was overtaken is published again first."""
    from ok_ml.release.publishing import publish_overtaken, wait_live

    again = publish_overtaken(pipeline, progress=context.say)
    if again is not None:
        context.observe(c.PUBLICATION, None, {"dagster/row_count": again.rows, **again.details})
    return Made([wait_live(pipeline)])
