"""What an audit means for an experiment: what stops it, what to look at, and the remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, ExperimentConfig
from ok_ml.datasets.audit.checking import Audit
from ok_ml.errors import DataError
from ok_ml.partitions import training_calendar

STOP: Final = "stop"
WARN: Final = "warn"
FEWEST_PARTITIONS: Final = 5
_FEW_SOURCES: Final = 20
_FEW_RETURNING: Final = 20
_ASIDE_WARN, _ASIDE_STOP = 0.05, 0.5
_DUPLICATES: Final = 0.01
_ONE_USER: Final = 0.05
_WRONG: Final = 0.001
_UNSHOWN: Final = 0.2
_THIN_DAY: Final = 0.5


@dataclass(frozen=True)
class Finding:
    """Something that a person should know about a log.

    Attributes
    ----------
    level
        stop: an experiment would fail or learn nothing; warn: it would work, with this in its results.
    """

    level: str
    text: str
    remedy: str


def findings(audit: Audit, config: DatasetConfig) -> list[Finding]:
    """Everything worth saying, what stops an experiment first."""
    found = [*_amount(audit, config), *_rows(audit), *_days(audit), *_people(audit, config), *_lookups(audit)]
    return sorted(found, key=lambda finding: finding.level != STOP)


def of_experiment(audit: Audit, experiment: ExperimentConfig) -> list[Finding]:
    """What stops one experiment: a plan of labels and evaluation that the partitions do not hold."""
    stages = experiment.stages
    plan = (stages.training_set.label_days, stages.evaluation.days, stages.training_set.windows)
    try:
        training_calendar(list(audit.partitions), *plan)
    except DataError as error:
        text = f"experiment {experiment.experiment} asks for more days than there are: {error.problem}"
        return [
            Finding(
                STOP, text, "shorten stages.training_set.label_days or windows, or stages.evaluation.days; or add days"
            )
        ]
    return []


def verdict(audit: Audit, found: list[Finding]) -> str:
    """One line."""
    stops = [finding for finding in found if finding.level == STOP]
    if stops:
        return f"no experiment would work on {audit.dataset}: {stops[0].text}"
    warned = f", with {len(found)} thing{'s' if len(found) > 1 else ''} to look at" if found else ""
    return f"an experiment can work on {audit.dataset}{warned}"


def _amount(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Is there enough to learn from?"""
    if not audit.events:
        yield Finding(STOP, "no row of the log becomes an event", "correct the mapping: the reasons are above")
        return
    if len(audit.partitions) < FEWEST_PARTITIONS:
        text = f"{len(audit.partitions)} partitions of one {audit.grain}, at least {FEWEST_PARTITIONS} are needed"
        yield Finding(
            STOP, text, "add more days: some are learnt from, others are labels, the last ones judge the model"
        )
    wanted = {name for name, weight in config.weights.items() if weight > 0}
    if not wanted & set(audit.event_types):
        text = f"no event has a positive weight (there are: {', '.join(audit.event_types)})"
        yield Finding(STOP, text, "name the event types that show interest under weights and grades")
    elif not {name for name, grade in config.grades.items() if grade > 0} & set(audit.event_types):
        yield Finding(
            STOP, "no event has a positive grade", "name the event types that a list should earn under grades"
        )
    returning = audit.users - audit.once[c.USERS]
    if returning < _FEW_RETURNING:
        text = f"{returning:,} of {audit.users:,} users have a second event"
        yield Finding(STOP, text, "check that user_id is the person and not the visit; or take a longer log")
    if audit.sources < _FEW_SOURCES:
        text = f"{audit.sources:,} sources: there is nothing to choose from"
        yield Finding(STOP, text, "map source_id to something finer, e.g. the author or the item")
    if audit.left is not None and audit.left < 1 and audit.events:
        kinds = ", ".join(config.subscription.event_types)
        text = f"{audit.left:.2f} of {audit.sources:,} sources are left to a user on average, all others are met ({kinds}): nothing to recommend"
        remedy = f"take `subscription` out of configs/datasets/{audit.dataset}.yml: what was met may then be recommended again"
        yield Finding(STOP, text, remedy)


def _rows(audit: Audit) -> Iterator[Finding]:
    """Are the rows what the mapping says?"""
    aside = sum(audit.set_aside.values())
    share = aside / max(audit.events + aside, 1)
    if share > _ASIDE_WARN and audit.events:
        reason = next(iter(audit.set_aside))
        level = STOP if share > _ASIDE_STOP else WARN
        yield Finding(level, f"{share:.0%} of the rows are set aside, most of them as {reason}", _remedy_of(reason))
    if audit.duplicates > _DUPLICATES * audit.events:
        text = f"{audit.duplicates:,} events are equal to another one in everything"
        yield Finding(WARN, text, "if the log repeats itself, name an id of the event: events.unique_by: [column]")
    for name, count in audit.wrong_ids.items():
        if count > _WRONG * audit.events:
            column, _, value = name.partition(" ")
            yield Finding(WARN, f"{count:,} events have {column} {value}, which looks like nobody",
                          f"set them aside: drop_if: {{nobody: <raw column> == {value}}}")  # fmt: skip


def _remedy_of(reason: str) -> str:
    known = {
        f"unknown_{c.EVENT_TYPE}": "name the missing words under event_types",
        "bad_time": "correct time.columns and time.format",
        "late": "set partition.delivery_slack_days if the folders are cut in another time zone",
        "in_the_future": "correct time.format or time.timezone; future_days: null admits them",
        "unreadable_line": "correct delimiter, quoting or encoding",
    }
    if reason.startswith("bad_") and reason.endswith("_id"):
        return f"texts become ids by hash_ids: [{reason.removeprefix('bad_')}]"
    return known.get(reason, "look at the example above, then correct the mapping")


def _days(audit: Audit) -> Iterator[Finding]:
    """Is the calendar whole?"""
    if len(audit.partitions) < 3:
        return
    if audit.gaps:
        shown = ", ".join(audit.gaps[:3]) + (", ..." if len(audit.gaps) > 3 else "")
        text = f"{len(audit.gaps)} {audit.grain}{'s' if len(audit.gaps) > 1 else ''} without an event: {shown}"
        yield Finding(WARN, text, "deliver them, or accept that windows skip them")
    dts = list(audit.partitions)
    usual = median(list(audit.partitions.values())[1:-1])
    for dt, end, key in ((dts[0], "first", "start"), (dts[-1], "last", "end")):
        if audit.partitions[dt] < _THIN_DAY * usual:
            other = dts[1] if key == "start" else dts[-2]
            text = f"the {end} {audit.grain}, {dt}, has {audit.partitions[dt]:,} events, the median one {usual:,.0f}"
            yield Finding(WARN, f"{text}: it seems cut off", f'leave it out: partition: {{{key}: "{other}"}}')


def _people(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Who are the users, and do impressions and reactions belong together?"""
    if audit.largest_user is not None and audit.largest_user[1] > max(_ONE_USER * audit.events, 1000):
        user, count = audit.largest_user
        yield Finding(WARN, f"user {user} has {count / audit.events:.0%} of all events",
                      f"if that is a robot: drop_if: {{robot: <raw column> == {user}}}")  # fmt: skip
    shown = audit.event_types.get(c.IMPRESSION, 0)
    if config.has_impressions != bool(shown) and audit.events:
        text = (
            "has_impressions is true, but there is none"
            if config.has_impressions
            else "there are impressions, but has_impressions is false"
        )
        yield Finding(WARN, text, f"has_impressions: {'false' if config.has_impressions else 'true'}")
    if audit.without_impression > _UNSHOWN * audit.reactions and shown:
        text = f"{audit.without_impression:,} of {audit.reactions:,} posts were reacted to and never shown"
        yield Finding(WARN, text, "check that impressions and reactions use the same user, source and item ids")


def _lookups(audit: Audit) -> Iterator[Finding]:
    for table, counts in audit.tables.items():
        if counts.get("missing"):
            text = f"{counts['missing']:,} {table} of the events have no row in {table}"
            yield Finding(WARN, text, "they stay without name and attributes; deliver the missing rows if they matter")
