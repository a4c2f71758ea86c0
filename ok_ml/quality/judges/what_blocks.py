"""What blocks the publication of an experiment, first cause first, stated in one sentence, the same everywhere.

Read from the verdicts and acceptances in the lake alone, so that commands, sensors and the service's pages say the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.lake import Lake
from ok_ml.quality.judges.acceptance import Found, Judged, blocks, command_of, still_open, verdict_on
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, EVENT_VERDICT, FEATURE_VERDICT, LISTS_VERDICT, MODEL_VERDICT

if TYPE_CHECKING:
    from ok_ml.config.models import Project

OF_LOG: Final = "of_log"  # in the details of a verdict on features: what the declared rules of that day's log found
DAYS_SHOWN: Final = 60
_SHORT: Final = 160  # characters of a cause in a sentence
_SUBJECTS: Final = {
    DECLARED_VERDICT: "the log of", EVENT_VERDICT: "the log of", FEATURE_VERDICT: "the features of",
    LISTS_VERDICT: "the lists of", MODEL_VERDICT: "the model of",
}  # fmt: skip


BLOCKING: Final = tuple(_SUBJECTS)  # verdicts that block publication; the others only report


@dataclass(frozen=True)
class Block:
    """A verdict of which something that blocks is open.

    Attributes
    ----------
    found
        What is open, worst first.
    """

    judged: Judged
    found: tuple[Found, ...]

    @property
    def subject(self) -> str:
        """What it is about: the log, features, lists or model of a day."""
        return f"{_SUBJECTS[self.judged.table]} {self.judged.dt}"

    @property
    def cause(self) -> str:
        """Subject and worst finding, short enough for a sentence."""
        said = self.found[0].message.split("; ")[0].removeprefix(f"{self.judged.dt}: ")
        return f"{self.subject} ({said if len(said) <= _SHORT else said[: _SHORT - 3] + '...'})"


def feature_window_days(project: "Project", experiment: str) -> int:
    """The longest window of an experiment's features, days."""
    return project.experiments[experiment].feature_days


def of_features(project: "Project", experiment: str, dt: str) -> list[Block]:
    """What blocks the features of a day: the numbers of its log, the rules of its log, then they themselves.

    An earlier day that blocks is left out of their windows, so it blocks only itself.
    """
    lake, dataset = Lake(project.lake_root), project.dataset_of(experiment)
    verdict = lake.find(experiment, FEATURE_VERDICT, dt)
    if (
        verdict is not None and OF_LOG in verdict.details
    ):  # by the limits of now, which the log's own verdict may not be
        told = [Found(*one) for one in verdict.details[OF_LOG]]
        rules: Judged | None = Judged.now(lake, dataset.dataset, DECLARED_VERDICT, dt, told)
    else:
        rules = verdict_on(lake, dataset.dataset, DECLARED_VERDICT, dt)
    bands, own = verdict_on(lake, dataset.dataset, EVENT_VERDICT, dt), verdict_on(lake, experiment, FEATURE_VERDICT, dt)
    return [block for one in (bands, rules, own) if (block := _block(lake, one)) is not None]


def open_blocks(project: "Project", experiment: str) -> list[Block]:
    """Everything that blocks the publication of an experiment now, first cause first."""
    lake, dataset = Lake(project.lake_root), project.dataset_of(experiment).dataset
    days = [lake.partitions(dataset, c.EVENTS)[-1:], lake.partitions(experiment, FEATURE_VERDICT)[-1:]]
    found = {
        (one.judged.table, one.judged.dt): one
        for dts in days
        for dt in dts
        for one in of_features(project, experiment, dt)
    }
    order = list(_SUBJECTS)
    upstream = sorted(
        found.values(),
        key=lambda one: (order.index(one.judged.table) > 1, order.index(one.judged.table), one.judged.dt),
    )
    return [*upstream, *_of_lists_and_model(lake, experiment)]


def _of_lists_and_model(lake: Lake, experiment: str) -> Iterator[Block]:
    for table in (LISTS_VERDICT, MODEL_VERDICT):
        for dt in lake.partitions(experiment, table)[-1:]:
            block = _block(lake, verdict_on(lake, experiment, table, dt))
            if block is not None:
                yield block


def _block(lake: Lake, judged: Judged | None) -> Block | None:
    found = still_open(lake, judged) if judged is not None else []
    if judged is None or not blocks(found):
        return None
    return Block(judged, tuple(sorted(found, key=lambda one: one.severity != "block")))


# -- one sentence ------------------------------------------------------------------------------------------------------


def way_out(block: Block, dataset: str) -> str:
    """The commands after which a block is gone, the one that releases it first."""
    judged = block.judged
    accept = command_of(judged.scope, judged.dt, judged.table)
    if judged.table == MODEL_VERDICT:
        return f"{accept} and ok-ml run {judged.scope}"
    return f"{accept} if the change is real, or ok-ml repair {dataset} {judged.dt} once its data are corrected"


def story(project: "Project", experiment: str) -> str | None:
    """Since when publication is blocked, because of what, what is served, and the command to go on; None if nothing blocks."""
    found = open_blocks(project, experiment)
    if not found:
        return None
    lake, first = Lake(project.lake_root), found[0]
    serving = served_day(lake, experiment)
    return (
        f"{experiment}: publication blocked since {_since(lake, first)} because of {first.cause}; serving {serving};"
        f" to go on: {way_out(first, project.dataset_of(experiment).dataset)}"
    )


def stories(project: "Project") -> dict[str, str]:
    """Experiment -> its sentence, of those that are blocked."""
    told = {name: story(project, name) for name in sorted(project.experiments)}
    return {name: text for name, text in told.items() if text is not None}


def served_day(lake: Lake, experiment: str) -> str:
    """The last day of data in what is served, also after a rollback."""
    known = lake.partitions(experiment, c.LIVE_HISTORY)
    return str(lake.manifest(experiment, c.LIVE_HISTORY, known[-1]).details["data_dt"]) if known else "nothing yet"


def _since(lake: Lake, block: Block) -> str:
    """First day of the unbroken run of days that the same verdict blocks."""
    since, judged = block.judged.dt, block.judged
    for dt in reversed([dt for dt in lake.partitions(judged.scope, judged.table) if dt < judged.dt]):
        if _block(lake, verdict_on(lake, judged.scope, judged.table, dt)) is None:
            break
        since = dt
    return since


def blocked_dts(project: "Project", scope: str, *, days: int = DAYS_SHOWN) -> frozenset[str]:
    """Those of the newest days of a dataset or an experiment that are blocked: their log, their features or their lists."""
    lake, is_dataset = Lake(project.lake_root), scope not in project.experiments
    dataset = scope if is_dataset else project.dataset_of(scope).dataset
    tables = [(dataset, DECLARED_VERDICT), (dataset, EVENT_VERDICT)]
    tables += [] if is_dataset else [(scope, FEATURE_VERDICT), (scope, LISTS_VERDICT)]
    return frozenset(
        dt
        for of, table in tables
        for dt in lake.partitions(of, table)[-days:]
        if _block(lake, verdict_on(lake, of, table, dt)) is not None
    )
