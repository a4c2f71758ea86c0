"""What makes the stages: read, call one function, commit, and say what came out."""

from ok_ml import columns as c
from ok_ml.pipelines.text_classification.plan import LabelPlan as P
from ok_ml.release.shared_stages import plots, settle_features
from ok_ml.stages.stage import Made, StepContext, Table


def text_features(pipeline: P, context: StepContext) -> Made:
    """Numbers of each text."""
    from ok_ml.features.declared.registry import describe
    from ok_ml.pipelines.text_classification.text_watch import build_text_features

    manifests = build_text_features(pipeline, context.days, progress=context.say)
    return Made(manifests, {"features": Table([dict(row) for row in describe("text", pipeline.features)])})


def text_statistics(pipeline: P, context: StepContext) -> Made:
    """Numbers of each day's texts."""
    from ok_ml.pipelines.text_classification.text_plots import plot_texts
    from ok_ml.pipelines.text_classification.text_watch import build_text_statistics

    return Made(build_text_statistics(pipeline, context.days), plots(plot_texts(pipeline)))


def model(pipeline: P, context: StepContext) -> Made:
    """Both models, logged and registered. What a promotion asks for in the end is asked for here, before the work."""
    from ok_ml.pipelines.text_classification.training import train_model
    from ok_ml.release.gate.promoting import require_promotable

    if not pipeline.is_attempt:
        require_promotable(pipeline.project)
    with context.training() as register:
        manifest = train_model(pipeline.pinned(), register, dagster_run_id=context.run_id, progress=context.say)
    labels = [{"label": name, "texts": count} for name, count in sorted(manifest.details["labels"].items())]
    return Made([manifest], {"reason": context.reason, "labels": Table(labels)})


def predictions(pipeline: P, context: StepContext) -> Made:
    """The newest texts' scores, once their features are judged against the present champion."""
    from ok_ml.pipelines.text_classification.predicting import predict

    pinned = pipeline.pinned()
    settle_features(pinned, context)
    manifest = predict(pinned, progress=context.say)
    counted = pinned.lake.read(pinned.name, c.PREDICTIONS, [manifest.partition], columns=["decided"])
    decided = counted["decided"].value_counts().to_pylist()
    names = [*manifest.details["labels"], "none"]
    shares = [{"label": names[int(one["values"])], "texts": one["counts"]} for one in decided]
    return Made([manifest], {"decided": Table(sorted(shares, key=lambda one: -one["texts"]))})
