"""Limits of the alarms with their origin: configs/calibration/<experiment>.yml, or what a log's first run found in its past.

`make calibrate` writes the file, which wins. A first run leaves its calibration in the lake, table `calibration` of the dataset.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydantic import Field, ValidationError

from ok_ml.config.documents import read_document
from ok_ml.config.model_errors import problems_of
from ok_ml.config.problems import Problem
from ok_ml.config.sections.frozen import Frozen
from ok_ml.errors import ConfigError
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from ok_ml.config.models import Project

FOLDER: Final = Path("configs") / "calibration"
OWN_CALIBRATION: Final = "calibration"  # table of a dataset: what its first run found in its own past
DEFAULT_LIMIT: Final = 6.0  # a normal score that worlds of the shipped kind did not reach in years without a fault


class Noticed(Frozen):
    """The smallest fault that a check noticed."""

    check: str = Field(description="Which check.")
    fault: str = Field(description="What was planted.")
    unit: str = Field(description="Unit of its size.")
    smallest: float | None = Field(description="The smallest size noticed on the same day; null: none of those tried.")


class CheckRate(Frozen):
    """False alarms of one check in the quiet days."""

    check: str
    alarms: int = Field(ge=0, description="Alarms in all quiet days, at the limit in force.")
    a_year: float = Field(ge=0, description="The same a model and year of 365.25 judged days.")


class Calibration(Frozen):
    """How the limit of an experiment's bands was found."""

    experiment: str
    limit: float = Field(gt=0, description="Largest score inside a band, of every series of numbers by day.")
    false_alarms_a_year: float = Field(gt=0, description="What was asked for, over all checks together.")
    expected_a_year: float = Field(ge=0, description="False alarms a year at this limit in the days looked at.")
    low_a_year: float = Field(ge=0, description="Lower end of its exact 95 % Poisson interval.")
    high_a_year: float = Field(ge=0, description="Upper end of it.")
    source: Literal["simulated", "replayed"] = Field(description="Quiet worlds of other seeds, or the past days.")
    seeds: tuple[int, ...] = Field(default=(), description="Of the simulated worlds.")
    days: int = Field(ge=1, description="Days that were judged.")
    date: str = Field(description="When, ISO date.")
    code: str = Field(description="Versions of the code that judges.")
    upto: str = Field(default="", description="The last of the past days, ISO date; empty: simulated worlds have none.")
    own: dict[str, float] = Field(
        default_factory=dict,
        description="Series that went beyond the limit in the past by themselves -> their own limit.",
    )
    rates: tuple[CheckRate, ...] = ()
    noticed: tuple[Noticed, ...] = ()


class Limit(NamedTuple):
    """A limit and where it comes from.

    Attributes
    ----------
    own
        Series -> its own limit, where that is another.
    """

    value: float
    origin: str
    own: Mapping[str, float] = {}

    def of(self, series: object) -> float:
        """The limit of a series."""
        return max(self.own.get(str(series), self.value), self.value)


def calibration_of(root: Path, experiment: str) -> Calibration | None:
    """The committed calibration of an experiment, or None.

    Raises
    ------
    ConfigError
        The file is there and is not a calibration of that experiment.
    """
    path = root / FOLDER / f"{experiment}.yml"
    if not path.is_file():
        return None
    problems, calibration = _read(path, root)
    if calibration is None:
        raise ConfigError(
            f"{path.relative_to(root)} is no calibration: {'; '.join(map(str, problems))}",
            why="a check with a limit of unknown origin may raise false alarms, or miss faults",
            remedy=f"make it again: make calibrate EXPERIMENT={experiment}; without the file the built-in limit holds",
            problems=tuple(map(str, problems)),
        )
    return calibration


def limit_of(project: "Project", experiment: str) -> Limit:
    """The limit of an experiment's bands: the calibrated one, else that of its dataset's past, else the built-in default."""
    calibration = calibration_of(project.root, experiment)
    calibration = calibration or own_calibration(project, project.experiments[experiment].dataset)
    if calibration is None:
        return Limit(DEFAULT_LIMIT, f"built-in default: {experiment} was not calibrated")
    return _limit(calibration)


def own_calibration(project: "Project", dataset: str) -> Calibration | None:
    """What a dataset's first run found in its own past, or None while that is too short."""
    manifest = Lake(project.lake_root).find(dataset, OWN_CALIBRATION)
    return Calibration.model_validate(manifest.details) if manifest is not None else None


def _limit(calibration: Calibration) -> Limit:
    seeds = f"seeds {_runs_of(calibration.seeds)}" if calibration.seeds else "its own past"
    origin = f"calibrated on {calibration.date}: {calibration.expected_a_year:.2f} false alarms a year ({calibration.days:,} days, {seeds})"
    return Limit(calibration.limit, origin, calibration.own)


def _runs_of(seeds: tuple[int, ...]) -> str:
    """Whole numbers as runs: 1 .. 3, 7."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]} .. {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def limit_of_dataset(project: "Project", dataset: str) -> Limit:
    """The limit of a dataset's bands: the largest calibrated one of the experiments that read it, so that none gets more false alarms than stated."""
    readers = [name for name, config in project.experiments.items() if config.dataset == dataset]
    calibrated = [name for name in sorted(readers) if calibration_of(project.root, name) is not None]
    if calibrated:
        return max((limit_of(project, name) for name in calibrated), key=lambda limit: limit.value)
    own = own_calibration(project, dataset)
    if own is not None:
        return _limit(own)
    return Limit(DEFAULT_LIMIT, f"built-in default: no experiment of {dataset} was calibrated")


def find_calibration_problems(root: Path, experiments: Sequence[str]) -> list[str]:
    """What is wrong with the committed calibrations, a line each."""
    problems: list[str] = []
    for path in sorted((root / FOLDER).glob("*.yml")):
        if path.stem not in experiments:
            known = ", ".join(sorted(experiments))
            problems.append(f"{path.relative_to(root)}: no experiment {path.stem!r}; known: {known}")
        problems += map(str, _read(path, root)[0])
    return problems


def _read(path: Path, root: Path) -> tuple[list[Problem], Calibration | None]:
    tree, problems = read_document(path, str(path.relative_to(root)))
    if problems:
        return problems, None
    try:
        calibration = Calibration.model_validate(tree.data)
    except ValidationError as error:
        return problems_of(error, Calibration, tree), None
    if calibration.experiment != path.stem:
        text = f"expected {path.stem!r}, the name of the file, got {calibration.experiment!r}"
        return [tree.problem(("experiment",), text)], None
    return [], calibration
