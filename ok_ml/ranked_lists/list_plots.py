"""Pictures of what a model makes, by day and by fit: lists and vectors."""

from typing import TYPE_CHECKING

from ok_ml import columns as c
from ok_ml.config.calibration import limit_of
from ok_ml.monitoring.plots.series_plots import Drawing, draw_sheets, model_marks
from ok_ml.quality.ranking import prediction_statistics as stats
from ok_ml.quality.statistics.number_series import Name

if TYPE_CHECKING:
    from pathlib import Path

    from ok_ml.stages.pipeline import Pipeline


def plot_predictions(pipeline: "Pipeline") -> "dict[str, Path]":
    """Lists by day: who is served, how alike the lists are, and the scores; nothing before the first day."""
    drawing = _drawing(pipeline, c.PREDICTION_STATISTICS)
    marks = model_marks(pipeline.lake, pipeline.name, c.PREDICTION_STATISTICS, drawing.dts)
    quantiles = {quantile: Name(f"score_{quantile}") for quantile in ("q99", "q75", "q50", "q25", "q01")}
    served = {"users served": Name(stats.USERS_SERVED), "fallback": Name("fallback_share")}
    spread = {"most frequent 1 %": Name(stats.TOP_SHARE), "Gini": Name("gini")}
    lists = [
        drawing.lines("users with a list, and lists that are the fallback", served, share=True, from_zero=True),
        drawing.banded(
            "mean similarity to the first 10 of the same model's generation before", stats.OVERLAP, share=True
        ),
        drawing.banded("share of the catalogue in any user's first 10", stats.COVERAGE, share=True),
        drawing.lines("concentration of the first 10", spread),
        drawing.lines("places by reason", {name: Name("reason_share", name) for name in c.REASON_NAMES}, share=True),
    ]
    scores = [
        drawing.lines("quantiles of the scores", quantiles),
        drawing.lines("PSI of the scores against the generations before", {"PSI": Name(stats.SCORE_PSI)}),
    ]
    sheets = {"lists": ("Lists by day", lists), "scores_by_day": ("Scores by day", scores)}
    return draw_sheets(pipeline, "predictions", sheets, marks)


def plot_embeddings(pipeline: "Pipeline") -> "dict[str, Path]":
    """Vectors by fit; nothing before the first one."""
    drawing = _drawing(pipeline, c.EMBEDDING_STATISTICS)
    groups = ("users", "sources")
    panels = [
        drawing.lines("mean norm of the vectors", {group: Name("norm_mean", group) for group in groups}),
        drawing.lines("mean cosine to the 10 nearest sources", {"cosine": Name("neighbour_cosine")}),
        drawing.lines(
            "10 nearest sources: similarity to the fit before", {"overlap": Name("neighbour_overlap")}, share=True
        ),
        drawing.lines(
            "vectors of norm 0", {group: Name("zero_share", group) for group in groups}, share=True, from_zero=True
        ),
        drawing.lines("vectors", {group: Name("vectors", group) for group in groups}),
    ]
    return draw_sheets(pipeline, "embeddings", {"vectors_by_fit": ("Vectors by fit", panels)}, {})


def _drawing(pipeline: "Pipeline", table: str) -> Drawing:
    return Drawing(pipeline.lake, pipeline.name, table, limit=limit_of(pipeline.project, pipeline.name).value)
