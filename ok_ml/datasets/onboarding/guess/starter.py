"""A guessed mapping as files of the project, with a first experiment whose windows fit the log."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml.atomic_write import replace_file
from ok_ml.columns import EVENTS
from ok_ml.config.pipeline_types import starter_type
from ok_ml.datasets.onboarding.guess.guessed_settings import Settings, settings_for
from ok_ml.datasets.onboarding.guess.measuring import LogProfile, measure_log
from ok_ml.datasets.onboarding.guess.preview import Preview
from ok_ml.datasets.onboarding.guess.proposal import flow
from ok_ml.errors import UsageError
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from ok_ml.config.models import Project

_REASON_AT: Final = 44
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def dataset_name(text: str, *, given: bool) -> str:
    """A dataset's name out of a file's; a name that was given must be one.

    Raises
    ------
    UsageError
        It is none.
    """
    if given:
        if not _NAME.fullmatch(text):
            raise UsageError(
                f"{text!r} is no name of a dataset",
                why="it becomes the names of files and tables",
                remedy="take lower-case letters, digits and _, a letter first",
            )
        return text
    words = re.findall(r"[a-z0-9]+", text.partition(".")[0].lower())
    name = "_".join(words)[:40]
    return name if _NAME.fullmatch(name) else f"log_{name}".rstrip("_")


def write_starter(
    project: "Project", name: str, guessed: Preview, *, progress: Callable[[str], None] | None = None
) -> list[Path]:
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
                f"{path.relative_to(project.root)} is there already",
                why="it is never overwritten",
                remedy="choose another name, or remove the file",
            )
    profile = measure_log(guessed.proposal.config, Lake(project.lake_root), project.root, progress=progress)
    texts = [guessed.proposal.text, experiment_text(name, profile, starter_type(EVENTS, project.root))]
    for path, text in zip(paths, texts, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    return paths


def experiment_text(name: str, profile: LogProfile, pipeline_type: str) -> str:
    """A first experiment whose settings fit a log, each with its reason.

    Raises
    ------
    DataError
        The log has too few partitions.
    """
    settings = settings_for(profile)
    lines = [
        f"# Settings that fit {len(profile.dts)} partitions of one {profile.grain}, {profile.dts[0]} .. {profile.dts[-1]}: {profile.events:,} events",
        f"# of {profile.users:,} users with {profile.sources:,} sources. Made by `ok-ml data preview --write`, yours to change.",
        f"experiment: {name}",
        f"pipeline_type: {pipeline_type}",
        "owners: [data@example.org]",
        "datasets:",
        _line(f"  events: {{name: {name}, window_days: {settings.window_days}}}", settings.reasons["window_days"]),
        "stages:",
    ]
    for stage, fields in settings.stages.items():
        lines.append(f"  {stage}:")
        lines += [
            _line(f"    {flow({key: value})[1:-1]}", settings.reasons.get(f"{stage}.{key}"))
            for key, value in fields.items()
        ]
    lines += [f"freshness: {flow(dict(settings.freshness))}", "release: {cycle: manual}", "", *_recipes(settings)]
    return "\n".join(lines) + "\n"


def _line(text: str, reason: str | None) -> str:
    return f"{text.ljust(_REASON_AT)}  # {reason}" if reason else text


def _recipes(settings: Settings) -> list[str]:
    """The alternatives that the first run tries, as overlays of the same file."""
    lines = [
        "# The first `ok-ml run` tries these on days before the judged ones and keeps the first that none after it beats beyond",
        "# chance. Each is laid over this file; add your own, or remove the section to keep what stands above.",
        "recipes:",
    ]
    for name, changed in settings.recipes.items():
        stages = changed.get("stages", {})
        lines.append(f"  {name}:" if stages else f"  {name}: {{}}")
        lines += ["    stages:"] if stages else []
        lines += [f"      {stage}: {flow(dict(fields))}" for stage, fields in stages.items()]
    return lines
