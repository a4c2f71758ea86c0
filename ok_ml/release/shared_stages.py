"""Stages that every type ends with, said once: statistics, evaluation's decision, publication, what is served."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.release import records
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import (
    Follows,
    Grain,
    Joins,
    Made,
    Page,
    Phase,
    Plot,
    Read,
    Shown,
    Stage,
    Step,
    StepContext,
    Table,
    Text,
    Tool,
    single,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SPARK: Final[frozenset[Tool]] = frozenset({"spark"})
MLFLOW: Final[frozenset[Tool]] = frozenset({"mlflow"})
_DELIVERY: Final[frozenset[Tool]] = frozenset({"broker", "storage"})
_WORST_SHOWN: Final = 15


def plots(pictures: "Mapping[str, Path]") -> dict[str, Shown]:
    """Pictures by the name under which a page shows them."""
    return {name: Plot(path) for name, path in pictures.items()}


# -- statistics of features ----------------------------------------------------------------------------------------


def feature_statistics(described: Sequence[str], describes: Sequence[str]) -> Step[Any]:
    """One row a feature and day of the tables `described`; `describes` are the tables that an incident on it names."""
    stage = Stage[Pipeline](
        c.FEATURE_STATISTICS,
        Phase.DAILY,
        Grain.DAY,
        "One row of statistics a feature and day.\n\nDrift and the checks read this small table, so rules cost milliseconds "
        "whatever the data's size; histograms use bins frozen from the champion's reference.",
        frozenset({"python", "numpy", "parquet"}),
        reads=(Read(tuple(described), records.same),),
        more=records.of_statistics,
        describes=tuple(describes),
    )
    return single(stage, _feature_statistics)


def _feature_statistics(pipeline: Pipeline, context: StepContext) -> Made:
    """Statistics of every feature, with the drift of the newest day."""
    from ok_ml.monitoring.judges.data_judge import page_of
    from ok_ml.monitoring.judges.event_judge import settle_events
    from ok_ml.monitoring.judges.feature_drift import drift_rows, plot_drift
    from ok_ml.monitoring.plots.feature_plots import plot_features
    from ok_ml.monitoring.series.feature_counts import build_statistics

    settle_events(pipeline.project, pipeline.dataset, pipeline.lake)
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


# -- evaluation and champion ---------------------------------------------------------------------------------------


def evaluation(pipeline: Pipeline, context: StepContext) -> Made:
    """The newest model compared with the champion and the baselines."""
    from ok_ml.release.gate.evaluating import evaluate_model
    from ok_ml.release.tracking import log_evaluation

    pinned = pipeline.pinned()
    with context.tracked() as tracked:
        manifest, evaluated = evaluate_model(pinned, context.session, progress=context.say)
        log_evaluation(tracked, evaluated)
    shown: dict[str, Shown] = {
        "comparison": Table(evaluated.shown("score")),
        "paired_differences": Table(evaluated.shown("difference")),
        "by_segment": Table(evaluated.shown("segment")),
        "by_what_was_shown_before": Table(evaluated.shown("stratum")) if evaluated.of("stratum") else None,
        "share_of_the_way_to_the_oracle": Table(evaluated.shown("attainable")),
    }
    newest = pipeline.challenger
    headline = {f"{newest} {metric}": value for metric, value in evaluated.metrics(newest).items()}
    return Made([manifest], {**shown, **headline, **plots(evaluated.plots)})


_CHAMPION: Final = Stage[Pipeline](
    c.CHAMPION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model that production reads.\n\nMoved only here, after the gate and with complete lineage; the promotion record is "
    "signed, and publication verifies it again.",
    frozenset({"mlflow"}),
    reads=(Read((c.EVALUATION, c.MODEL), records.whole),),
    settings=records.gate,
    more=records.of_champion,
    trigger=Joins(c.EVALUATION),
)


def champion() -> Step[Any]:
    """The decision about the newest model."""
    return single(_CHAMPION, _champion, needs=MLFLOW)


def _champion(pipeline: Pipeline, context: StepContext) -> Made:
    from functools import partial

    from ok_ml.release.gate.promoting import promote
    from ok_ml.release.tracking import log_simple_list

    with context.tracked() as tracked:
        register = partial(log_simple_list, tracked, pipeline)
        manifest = promote(pipeline.pinned(), context.registry(), register, dagster_run_id=context.run_id)
    return Made([manifest], {"reason": context.reason, "decision": _decision(manifest)})


def _decision(manifest: Manifest) -> Text:
    return Text("\n".join(f"- {reason}" for reason in manifest.details.get("reasons", [])) or "-")


# -- serving -------------------------------------------------------------------------------------------------------


def settle_features(pipeline: Pipeline, context: StepContext) -> None:
    """Judge the day's features again where a new champion brought a new reference, and say so on their asset."""
    from ok_ml.monitoring.judges.feature_judge import settle_verdict

    verdict = settle_verdict(pipeline)
    if verdict is not None:
        context.say(f"features judged against the present champion: {verdict.headline}")
        rows = pipeline.lake.manifest(pipeline.name, c.FEATURE_STATISTICS, verdict.dt).rows
        context.observe(c.FEATURE_STATISTICS, verdict.dt, {"dagster/row_count": rows})


def prediction_statistics(about: str, *beside: Read[Any]) -> Step[Any]:
    """Numbers of the newest predictions, before they are published; `beside` is what counting them reads in addition."""
    stage = Stage[Pipeline](
        c.PREDICTION_STATISTICS,
        Phase.SERVING,
        Grain.NEWEST,
        about,
        frozenset({"python", "numpy"}),
        reads=(Read((c.PREDICTIONS,), records.same), *beside),
        more=records.of_prediction_statistics,
        trigger=Follows(c.PREDICTIONS),
        describes=(c.PREDICTIONS,),
        is_series=True,
        is_banded=True,
    )
    return single(stage, _prediction_statistics)


def _prediction_statistics(pipeline: Pipeline, context: StepContext) -> Made:
    kind = pipeline.kind
    return Made([kind.count(pipeline, progress=context.say)], plots(kind.plots(pipeline)))


def publication(*beside: Read[Any]) -> Step[Any]:
    """One generation in the topic; `beside` is what the records hold besides the predictions."""
    stage = Stage[Pipeline](
        c.PUBLICATION,
        Phase.SERVING,
        Grain.WHOLE,
        "One generation of predictions in the Kafka topic.\n\nIt ends when every record and every control record is acknowledged "
        "and counted.",
        frozenset({"kafka"}),
        reads=(Read((c.PREDICTIONS,), records.predicted), *beside, Read((c.PREDICTION_STATISTICS,))),
        settings=records.delivery,
        more=records.of_publication,
        trigger=Follows(c.PREDICTION_STATISTICS),
    )
    return single(stage, _publication, needs=_DELIVERY)


def _publication(pipeline: Pipeline, context: StepContext) -> Made:
    from ok_ml.release.publishing import publish

    return Made([publish(pipeline, progress=context.say)])


_LIVE_PREDICTIONS: Final = Stage[Pipeline](
    c.LIVE_PREDICTIONS,
    Phase.SERVING,
    Grain.WHOLE,
    "The generation that the storage serves.\n\nIt ends when the storage has verified the generation by count and checksum "
    "and switched to it.",
    frozenset({"python"}),
    reads=(Read((c.PUBLICATION,), records.whole),),
    trigger=Follows(c.PUBLICATION),
)


def live_predictions() -> Step[Any]:
    """The publication in the storage; one that was overtaken is published again first."""
    return single(_LIVE_PREDICTIONS, _live_predictions, needs=_DELIVERY)


def _live_predictions(pipeline: Pipeline, context: StepContext) -> Made:
    from ok_ml.release.publishing import publish_overtaken, wait_live

    again = publish_overtaken(pipeline, progress=context.say)
    if again is not None:
        context.observe(c.PUBLICATION, None, {"dagster/row_count": again.rows, **again.details})
    return Made([wait_live(pipeline)])
