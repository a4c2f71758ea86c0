"""Where the plots of an experiment are written; the HTTP service shows them."""

from pathlib import Path

from ok_ml.stages.pipeline import Pipeline


def plot_path(pipeline: Pipeline, name: str) -> Path:
    """The file of a picture of this experiment, its folder made."""
    path = pipeline.project.state_dir / "plots" / pipeline.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
