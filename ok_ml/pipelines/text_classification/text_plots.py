"""Pictures of texts and label scores by day."""

from pathlib import Path

from ok_ml import columns as c
from ok_ml.config.calibration import limit_of
from ok_ml.monitoring.plots.series_plots import Drawing, draw_sheets
from ok_ml.pipelines.text_classification.plan import LabelPlan
from ok_ml.quality.statistics.number_series import Name


def plot_scores(pipeline: LabelPlan) -> dict[str, Path]:
    """Decisions and scores by day; nothing before the first day."""
    drawing = _drawing(pipeline, c.PREDICTION_STATISTICS)
    quantiles = {quantile: Name(f"score_{quantile}") for quantile in ("q99", "q75", "q50", "q25", "q01")}
    labels = {name.group: name for name in drawing.series if name.metric == "decided_share" and name.group}
    panels = [
        drawing.lines("texts decided, by label", labels, share=True, from_zero=True),
        drawing.lines("texts with a decision", {"decided": Name("decided_share")}, share=True, from_zero=True),
        drawing.lines("quantiles of the largest probability", quantiles, share=True),
        drawing.lines("PSI of it against the generations before", {"PSI": Name("score_psi")}),
    ]
    return draw_sheets(pipeline, "predictions", {"labels_by_day": ("Label scores by day", panels)})


def plot_texts(pipeline: LabelPlan) -> dict[str, Path]:
    """Texts by day."""
    drawing = _drawing(pipeline, c.TEXT_STATISTICS)
    labels = {name.group: name for name in drawing.series if name.metric == "label_share"}
    panels = [
        drawing.banded("texts", "texts"),
        drawing.banded("mean characters", "characters_mean"),
        drawing.lines("labels given", labels, share=True, from_zero=True),
        drawing.banded("texts with a label", "labelled_share", share=True),
    ]
    return draw_sheets(pipeline, "texts", {"texts_by_day": ("Texts by day", panels)})


def _drawing(pipeline: LabelPlan, table: str) -> Drawing:
    return Drawing(pipeline.lake, pipeline.name, table, limit=limit_of(pipeline.project, pipeline.name).value)
