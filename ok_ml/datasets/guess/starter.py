"""A guessed mapping as files of the project, with a first experiment whose windows fit the log."""

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml.datasets.calendar import partitions_of
from ok_ml.datasets.guess.preview import Preview
from ok_ml.errors import DataError, UsageError
from ok_ml.lake import Lake
from ok_ml.whole_files import replace_file

if TYPE_CHECKING:
    from ok_ml.config.models import Project

FEWEST: Final = 5  # partitions: one to learn from, a label, the day before it, an evaluation, the day before that
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def dataset_name(text: str, *, given: bool) -> str:
    """A dataset's name out of a file's; a name that somebody gave must be one.

    Raises
    ------
    UsageError
        It is none.
    """
    if given:
        if not _NAME.fullmatch(text):
            raise UsageError(
                f"{text!r} is no name of a dataset", why="it becomes the names of files and tables",
                remedy="take lower-case letters, digits and _, a letter first",
            )  # fmt: skip
        return text
    words = re.findall(r"[a-z0-9]+", text.partition(".")[0].lower())
    name = "_".join(words)[:40]
    return name if _NAME.fullmatch(name) else f"log_{name}".rstrip("_")


def write_starter(project: "Project", name: str, found: Preview) -> list[Path]:
    """Write configs/datasets/NAME.yml and configs/experiments/NAME.yml; neither may be there before.

    Raises
    ------
    UsageError
        One of them is there.
    DataError
        The log has too few days for an experiment.
    """
    paths = [project.root / "configs" / kind / f"{name}.yml" for kind in ("datasets", "experiments")]
    for path in paths:
        if path.exists():
            raise UsageError(
                f"{path.relative_to(project.root)} is there already", why="it is never overwritten",
                remedy="choose another name, or remove the file",
            )  # fmt: skip
    dts = partitions_of(found.proposal.config, Lake(project.lake_root), root=project.root)
    texts = [found.proposal.text, experiment_text(name, dts, found.proposal.config.partition.grain)]
    for path, text in zip(paths, texts, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    return paths


def experiment_text(name: str, dts: list[str], grain: str) -> str:
    """A first experiment whose windows fit the partitions `dts`.

    Raises
    ------
    DataError
        They are too few.
    """
    if len(dts) < FEWEST:
        raise DataError(
            f"{name}: {len(dts)} partitions of one {grain} are too few for an experiment, which needs {FEWEST}",
            why="some days are learnt from, others are labels, and the last ones judge the model",
            remedy="name a file, or by {dt} a folder of files, that covers more days",
        )
    length = 31 if grain == "month" else 1
    judged = max(1, min(3, (len(dts) - 2) // 4))
    span = (date.fromisoformat(dts[-1]) - date.fromisoformat(dts[0])).days + length
    days = {"label": _span(dts, judged, judged), "evaluation": _span(dts, 0, judged)}
    short, long = max(length, min(10, span // 3)), max(length, min(28, span // 2))
    if grain == "month":
        short, long = 186, 366
    return f"""\
# Windows that fit the {len(dts)} partitions from {dts[0]} to {dts[-1]}; made by `ok-ml data preview --write`.
experiment: {name}
pipeline_type: source_recommendation
owners: [data@example.org]
datasets:
  events: {{name: {name}, window_days: {max(span - days["evaluation"] - days["label"], length)}}}
stages:
  features: {{activity_days: {short}, affinity_days: {long}, popularity_days: {long}}}
  embeddings: {{factors: 32}}
  training_set: {{label_days: {days["label"]}}}
  model: {{num_leaves: 15, num_trees: 100, min_data_in_leaf: 20}}
  evaluation: {{days: {days["evaluation"]}}}
release: {{cycle: manual}}
"""


def _span(dts: list[str], skipped: int, count: int) -> int:
    """Days from the first of `count` partitions, before the `skipped` newest ones, to the one after the last of them."""
    days = [date.fromisoformat(dt).toordinal() for dt in dts[: len(dts) - skipped]]
    return max(days[-1] - days[-1 - count], 1)
