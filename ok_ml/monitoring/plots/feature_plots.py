"""Pictures of an experiment's features by day: all of them small; large those that failed, or the worst one."""

from pathlib import Path
from typing import Final

from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.plot_files import plot_path

OVERVIEW: Final = "series"
_WORST: Final = 2


def plot_features(pipeline: Pipeline, dt: str) -> dict[str, Path]:
    """Draw every feature up to a day; what is shown -> its picture. Nothing without statistics."""
    from ok_ml.quality.judges.feature_series import feature_series
    from ok_ml.quality.plots.finding_plots import feature_picture, overview

    board = feature_series(pipeline.lake, pipeline.name, upto=dt)
    if not board.features:
        return {}
    drawn = {OVERVIEW: plot_path(pipeline, f"series-{dt}.png")}
    overview(board.features, title=f"{len(board.features)} features of {pipeline.name} by day", path=drawn[OVERVIEW])
    for place, one in enumerate(
        [one for one in board.features[:_WORST] if one.state != "ok"] or board.features[:1], start=1
    ):
        drawn[f"worst_{place}"] = plot_path(pipeline, f"series-{dt}-{place}.png")
        feature_picture(one, one.finding, path=drawn[f"worst_{place}"])
    return drawn
