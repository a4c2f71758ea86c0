"""What went live and when: so that a day's reactions can be joined with the lists that people saw on it.

Each going-live is a partition of the table `live_history`, named after its time and never rewritten. The lists
themselves stay where they were made: in that version of the predictions.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.lake import Lake, fingerprint, part_prefix

if TYPE_CHECKING:
    import pyarrow as pa

    from ok_ml.config.models import DatasetBase

_RAW_EVENTS: Final = "raw_events"  # of a simulated dataset; its manifest names what was served on that day
_NONE: Final = "none"


@dataclass(frozen=True)
class Served:
    """One generation from the time at which it went live.

    Attributes
    ----------
    data_dt
        The day whose features its lists were made from.
    version
        The version of the predictions of that day that holds its lists.
    newest_dt
        The newest committed day of the dataset at that time, the clock of the data: lists are seen from the next day on.
    live_at
        Wall time, ISO, UTC.
    """

    generation: int
    generation_name: str
    data_dt: str
    model_version: int
    version: str
    newest_dt: str
    live_at: str = ""


def record_live(lake: Lake, experiment: str, served: Served) -> Served:
    """Note that a generation is served from now on."""
    now = datetime.now(UTC)
    noted = Served(**{**asdict(served), "live_at": now.isoformat()})
    with lake.staged(experiment, c.LIVE_HISTORY, f"{now:%Y%m%dT%H%M%S%f}") as folder:
        lake.commit(folder, rows=1, data_version=fingerprint(asdict(noted)), details=asdict(noted))
    return noted


def record_rollback(lake: Lake, experiment: str, generation: int, newest_dt: str) -> Served | None:
    """Note that a generation which was live before is served again; None if it is not known here."""
    known = [one for one in live_history(lake, experiment) if one.generation == generation]
    return record_live(lake, experiment, Served(**{**asdict(known[-1]), "newest_dt": newest_dt})) if known else None


def live_history(lake: Lake, experiment: str) -> list[Served]:
    """Everything that went live, oldest first."""
    partitions = lake.partitions(experiment, c.LIVE_HISTORY)
    return [Served(**lake.manifest(experiment, c.LIVE_HISTORY, one).details) for one in partitions]


def served_on(
    lake: Lake, experiment: str, dataset: "DatasetBase", dt: str, history: list[Served] | None = None
) -> Served | str:
    """What people were served on a day, or why that is nothing.

    A simulated network's log names the generation. Elsewhere it is the one that was live when the day began: the last to
    go live while no day from `dt` on was committed. `history` saves reading it again.
    """
    history = live_history(lake, experiment) if history is None else history
    if dataset.world is not None:
        raw = lake.find(dataset.dataset, _RAW_EVENTS, dt)
        name = raw.inputs.get("served", _NONE) if raw else _NONE
        if name == _NONE:
            return f"nothing was served on {dt}, says the log of that day"
        entries = [one for one in history if one.generation_name == name]
        return (
            entries[-1] if entries else f"{dt} was served generation {name}, which never went live in this experiment"
        )
    known = [one for one in history if one.newest_dt < dt]
    return known[-1] if known else f"no generation of {experiment} was live when {dt} began"


def live_before(lake: Lake, experiment: str, version: str) -> Served | None:
    """The newest generation that went live with other predictions than those of a version; None before the first."""
    others = [one for one in live_history(lake, experiment) if one.version != version]
    return others[-1] if others else None


def lists_folder(lake: Lake, experiment: str, served: Served) -> Path | None:
    """Where the lists of a generation are; None if that version of the predictions is gone."""
    folder = lake.root / experiment / c.PREDICTIONS / served.data_dt / served.version
    return folder if any(folder.glob("*.parquet")) else None


def read_lists(folder: Path, part: int, columns: list[str] | None = None) -> "pa.Table | None":
    """The predictions of one part, or some of their columns; None if it has no file."""
    import pyarrow.parquet as pq

    path = folder / f"{part_prefix(part)}.parquet"
    return pq.read_table(path, columns=columns, partitioning=None) if path.is_file() else None
