"""Where the plots of a dataset or an experiment are written; the HTTP service shows them."""

from pathlib import Path

from ok_ml.config.models import Project
from ok_ml.stages.pipeline import Pipeline


def plot_path(pipeline: Pipeline, name: str) -> Path:
    """The file of a picture of an experiment, its folder made."""
    return scope_plot_path(pipeline.project, pipeline.name, name)


def scope_plot_path(project: Project, scope: str, name: str) -> Path:
    """The file of a picture, or of a page, of a dataset or an experiment, its folder made."""
    path = project.state_dir / "plots" / scope / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
