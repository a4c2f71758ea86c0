"""``python -m bench.logs DIR``: is what would be served on strangers' logs at least as good as every simple model?

Every file of a folder that can be read as a log is mapped as `ok-ml data preview --write` maps it, unless a mapping lies beside it:
``NAME.yml`` beside ``NAME.csv``, a dataset as in configs/datasets, whose paths are relative to the folder. The settings of the
experiment are those that are written for a stranger. Three times the log is cut so that its last fifth of events judges: the
whole log, its first 80 % and its first 64 %. Each time the experiment runs from the log to the champion that the gate lets
through, in a state folder of its own; nothing is published. The champion is compared with the best simple model on the same users.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson
from ruamel.yaml import YAML

from ok_ml import columns as c
from ok_ml.cli.output import aligned, say, write_line
from ok_ml.cli.runs import run_pipeline
from ok_ml.config.loader import load_project
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.config.pipeline_types import starter_type
from ok_ml.datasets.canonical.ingest import ingest_events, stale_partitions
from ok_ml.datasets.onboarding.guess.measuring import measure_log
from ok_ml.datasets.onboarding.guess.preview import preview_file
from ok_ml.datasets.onboarding.guess.starter import dataset_name, experiment_text
from ok_ml.errors import DataError, OkMlError
from ok_ml.lake import Lake
from ok_ml.quality.ranking.ranking_evaluation import ORACLES
from ok_ml.recommender.ranking.user_lists import TWO_STAGE
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.stages.evaluation import CHAMPION_NAME, Evaluated, load_evaluation
from ok_ml.stages.opening import open_pipeline
from ok_ml.stages.training import SIMPLE_LIST

LEARNT: Final = 0.8  # of the events, before the days that judge
METRICS: Final = ("recall@10", "ndcg@10")
_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".dat", ".jsonl", ".json", ".parquet")
_PACKED: Final = (".gz", ".bz2", ".xz", ".zst")
_MONTH: Final = 31
_YAML: Final = YAML()  # retains the order: the first recipe is the one that others have to beat
_COPIED: Final = ("configs/base.yml", "configs/environments", "requirements.lock")


@dataclass(frozen=True)
class Split:
    """A log that ends on a day, and the day from which it judges."""

    first: str
    last: str


@dataclass(frozen=True)
class Judged:
    """What would be served on a log, beside the best simple model.

    Attributes
    ----------
    served
        ``two_stage``, or the simple list that the gate chose.
    best
        The simple model with the best ndcg@10.
    values, best_values
        Metric -> value of both, on the same users.
    low, high
        95 % interval of served - best in ndcg@10; equal where both are the same list.
    """

    log: str
    split: Split
    users: int
    served: str
    best: str
    values: dict[str, float]
    best_values: dict[str, float]
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """better or worse beyond chance, or equal."""
        return "worse" if self.high < 0 else "better" if self.low > 0 else "equal"


def main() -> int:
    """Judge every log; 0 if no served champion is worse than a simple model beyond chance."""
    arguments, results, not_judged = _arguments(), list[Judged](), list[str]()
    out = load_project().state_dir / "bench" / "logs.json"  # before the state folder is that of a log
    with tempfile.TemporaryDirectory(prefix="ok-ml-logs-") as scratch:
        for file in logs_of(arguments.folder):
            try:
                for one in _judge_log(file, Path(scratch), arguments.splits):
                    results.append(one)
                    say(f"{one.verdict}: {'; '.join(_cells(one))}")
                    _write(out, results)
            except OkMlError as error:
                not_judged.append(f"{file.name}: {str(error).splitlines()[0]}")
    _write(out, results)
    for line in table(results):
        write_line(line)
    worse = [f"{one.log} from {one.split.first}" for one in results if one.verdict == "worse"]
    for line in not_judged:
        write_line(f"not judged: {line}")
    write_line(f"\nworse than a simple model: {'; '.join(worse) or 'nowhere'} of {len(results)} splits; {out}")
    return 1 if worse or not results else 0


def _write(path: Path, results: Sequence[Judged]) -> None:
    """All results so far: a run that is interrupted leaves them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        orjson.dumps([asdict(one) | {"verdict": one.verdict} for one in results], option=orjson.OPT_INDENT_2)
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.logs", description="Judge what would be served on every log of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", type=int, default=3, help="how often each log is cut; default: %(default)s")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder")
    return arguments


def logs_of(folder: Path) -> list[Path]:
    """Files of a folder that may be logs, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _kind(path) in _SUFFIXES)


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in _PACKED else path.suffix


def splits_of(rows: Sequence[tuple[str, int]], count: int) -> list[Split]:
    """Cuts of a log, the whole log first.

    Parameters
    ----------
    rows
        Partition and its events, ascending.
    """
    splits: list[Split] = []
    while len(splits) < count and len(rows) > 1:
        total, before, first = sum(events for _, events in rows), 0, len(rows) - 1
        for place, (_, events) in enumerate(rows):
            before += events
            if before >= LEARNT * total:
                first = min(place + 1, len(rows) - 1)
                break
        splits.append(Split(rows[first][0], rows[-1][0]))
        rows = rows[:first]
    return splits


def table(results: Sequence[Judged]) -> list[str]:
    """The results, one line a log and split."""
    header = [
        "LOG",
        "JUDGED",
        "USERS",
        "SERVED",
        "RECALL@10 NDCG@10",
        "BEST SIMPLE",
        "RECALL@10 NDCG@10",
        "NDCG@10 95 %",
        "SERVED IS",
    ]
    return aligned(header, [[*_cells(one)] for one in results])


def _cells(one: Judged) -> Iterator[str]:
    yield one.log
    yield f"{one.split.first} .. {one.split.last}"
    yield f"{one.users:,}"
    yield one.served
    yield " ".join(f"{one.values[metric]:.4f}" for metric in METRICS)
    yield one.best
    yield " ".join(f"{one.best_values[metric]:.4f}" for metric in METRICS)
    yield f"{one.low:+.4f} .. {one.high:+.4f}"
    yield one.verdict


# -- one log ---------------------------------------------------------------------------------------------------------


def _judge_log(file: Path, scratch: Path, count: int) -> Iterator[Judged]:
    name = dataset_name(file.name, given=False)
    mapping = _mapping(file, name, scratch)
    root = _project(scratch / name, name, mapping)
    for number, split in enumerate(splits_of(_events_by_day(root, name), count)):
        say(f"{file.name}: judged on {split.first} .. {split.last}")
        yield _judge_split(name, split, scratch / f"{name}-{number}", mapping)


def _mapping(file: Path, name: str, scratch: Path) -> dict[str, Any]:
    """The mapping beside a file, with absolute paths, or the guessed one."""
    beside = file.with_name(f"{file.name.partition('.')[0]}.yml")
    text = beside.read_text() if beside.exists() else preview_file(file.resolve(), name, scratch, shown=1).proposal.text
    mapping: dict[str, Any] = _YAML.load(text)
    for section in (c.EVENTS, c.USERS, c.SOURCES, c.FRIENDS, c.SUBSCRIPTIONS):
        if section in mapping:
            mapping[section]["path"] = str(file.resolve().parent / mapping[section]["path"])
    return {**mapping, "dataset": name}


def _project(root: Path, name: str, mapping: dict[str, Any]) -> Path:
    """A project with nothing but a log."""
    home = load_project().root
    for part in _COPIED:
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (home / part).is_dir() else shutil.copy)(home / part, root / part)
    for folder in ("datasets", "experiments"):
        (root / "configs" / folder).mkdir(parents=True, exist_ok=True)
    _YAML.dump(mapping, root / "configs" / "datasets" / f"{name}.yml")
    return root


def _events_by_day(root: Path, name: str) -> list[tuple[str, int]]:
    project, config = _loaded(root, name)
    lake = Lake(project.lake_root)
    ingest_events(config, lake, stale_partitions(config, lake, root=root)[0], root=root)
    return [(dt, lake.manifest(name, c.EVENTS, dt).rows) for dt in lake.partitions(name, c.EVENTS)]


def _loaded(root: Path, name: str) -> tuple[Project, DatasetConfig]:
    os.environ["OK_ML_STATE"] = str(root / ".ok_ml")
    project = load_project(root)
    return project, project.event_logs[name]


def _judge_split(name: str, split: Split, root: Path, mapping: dict[str, Any]) -> Judged:
    partition = {**mapping.get("partition", {}), "end": split.last}
    _project(root, name, {**mapping, "partition": partition})
    project, config = _loaded(root, name)
    profile = measure_log(config, Lake(project.lake_root), root)
    length = _MONTH if config.partition.grain == "month" else 1
    days = (date.fromisoformat(split.last) - date.fromisoformat(split.first)).days + length
    text = experiment_text(name, profile, starter_type(c.EVENTS, root))
    write_experiment(root / "configs" / "experiments" / f"{name}.yml", text, days)
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "A log"]):
        subprocess.run(
            ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", *arguments], cwd=root, check=True
        )
    project, _ = _loaded(root, name)
    run_pipeline.run(project, name, publish=False)
    pipeline = open_pipeline(load_project(root), name)
    simple = pipeline.lake.manifest(name, c.CHAMPION).details.get(SIMPLE_LIST)
    _, record = champion_bundle(pipeline)
    return compared(name, split, load_evaluation(pipeline), simple or pipeline.challenger, record.metrics)


def write_experiment(path: Path, text: str, days: int) -> None:
    """An experiment as it is written for a stranger, its recipes in their order, with other evaluation days."""
    experiment = _YAML.load(text)
    experiment["stages"]["evaluation"]["days"] = days
    _YAML.dump(experiment, path)


def compared(log: str, split: Split, evaluated: Evaluated, served: str, values: Mapping[str, float | None]) -> Judged:
    """The champion of an evaluation beside the best simple model of it.

    Parameters
    ----------
    served
        The newest model, or the simple list that the gate chose in its place.
    values
        Its metrics, as they were promoted.
    """
    if not evaluated.rows:
        raise DataError(f"{log}: no user found anything new from {split.first} on", why="nothing can be compared")
    models = dict.fromkeys(row["model"] for row in evaluated.of("score"))
    plain = [one for one in models if one not in (TWO_STAGE, CHAMPION_NAME, *ORACLES)]
    best = max(plain, key=lambda one: evaluated.metrics(one)[METRICS[1]])
    known, best_values = {name: value or 0.0 for name, value in values.items()}, evaluated.metrics(best)
    difference = evaluated.difference(METRICS[1], served, best)
    # A simple list was chosen on the same users; of it only the estimate is known.
    apart = known[METRICS[1]] - best_values[METRICS[1]] if served != best else 0.0
    low, high = (apart, apart) if difference is None else (difference.low, difference.high)
    users = max(row["users"] for row in evaluated.of("score"))
    return Judged(log, split, users, served, best, known, best_values, low, high)


if __name__ == "__main__":
    sys.exit(main())
