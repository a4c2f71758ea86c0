"""What an audit means for an experiment: what stops it, what to look at, and the remedy."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, ExperimentConfig
from ok_ml.datasets.conversion.markers import Marker, condition
from ok_ml.datasets.onboarding.audit.checking import RARELY, Audit
from ok_ml.datasets.onboarding.histories import Found
from ok_ml.errors import DataError
from ok_ml.partitions import TrainingCalendar, before, training_calendar

STOP: Final = "stop"
WARN: Final = "warn"
FEWEST_PARTITIONS: Final = 5
_FEW_SOURCES: Final = 20
_FEW_RETURNING: Final = 20
_FEW_LEARNERS: Final = 20
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


def _stop(text: str, remedy: str) -> Finding:
    return Finding(STOP, text, remedy)


def _warn(text: str, remedy: str) -> Finding:
    return Finding(WARN, text, remedy)


def findings(audit: Audit, config: DatasetConfig) -> list[Finding]:
    """Everything worth saying, what stops an experiment first."""
    problems = [
        *_amount(audit, config),
        *_rows(audit),
        *_unknown_ids(audit, config),
        *_spellings(audit),
        *_days(audit, config),
        *_people(audit, config),
        *_lookups(audit),
    ]
    return sorted(problems, key=lambda finding: finding.level != STOP)


def of_experiment(audit: Audit, config: DatasetConfig, experiment: ExperimentConfig) -> list[Finding]:
    """What stops one experiment: labels or evaluation that the partitions do not hold, or in which nothing is new."""
    stages, name = experiment.stages, f"experiment {experiment.experiment}"
    plan = (stages.training_set.label_days, stages.evaluation.days, stages.training_set.windows)
    dts = _whole(audit, config)
    try:
        calendar = training_calendar(dts, *plan)
    except DataError as error:
        return [
            _stop(
                f"{name} asks for more days than there are: {error.problem}",
                "shorten stages.training_set.label_days or windows, or stages.evaluation.days; or add days",
            )
        ]
    problems: list[Finding] = []
    if stages.training_set.builder == "candidates":
        learnt = _learnt(audit, config, dts, calendar, whole_windows=stages.training_set.labels == "window")
        problems += _too_little(f"{name} has nothing to learn from", calendar.label_dts, learnt, "label_days")
    judged = audit.histories.new_to_find(config, calendar.eval_dts, calendar.eval_cut, known_users=False)
    return [*problems, *_too_little(f"{name} cannot be judged", calendar.eval_dts, judged, "evaluation days")]


def _whole(audit: Audit, config: DatasetConfig) -> list[str]:
    """The partitions that a run has."""
    left_out = audit.partial.dt if audit.partial and config.partition.partial_last_day == "leave_out" else None
    return [dt for dt in audit.partitions if dt != left_out]


def _learnt(
    audit: Audit, config: DatasetConfig, dts: list[str], calendar: TrainingCalendar, *, whole_windows: bool
) -> list[Found]:
    """What each list of the training set could hold."""
    lists = [(one.cut, one.label_dts) for one in calendar.windows]
    if not whole_windows:
        lists = [(before(dts, dt), (dt,)) for dt in calendar.label_dts]
    return [audit.histories.new_to_find(config, labels, cut, known_users=True) for cut, labels in lists]


def _too_little(what: str, dts: Sequence[str], finds: Found | list[Found], key: str) -> Iterator[Finding]:
    lists = [finds] if isinstance(finds, Found) else finds
    pairs, users = sum(one.pairs for one in lists), max((one.users for one in lists), default=0)
    span = dts[0] if dts[0] == dts[-1] else f"{dts[0]} to {dts[-1]}"
    if not pairs:
        text = f"{what} on {span}: no user meets a source there that is new to them and was seen by another user before"
        yield _stop(
            text,
            "check user_id and source_id; if `subscription` bars all that is met again, leave it out "
            f"(subscription: {{event_types: []}}); or raise {key}",
        )
    elif users < _FEW_LEARNERS:
        text = f"{what.replace('has nothing', 'has little').replace('cannot', 'can hardly')} on {span}: {pairs:,} new sources of {users:,} users"
        yield _warn(text, f"raise {key}, or take a longer log")


def verdict(audit: Audit, problems: list[Finding]) -> str:
    """One line."""
    stops = [finding for finding in problems if finding.level == STOP]
    if stops:
        return f"no experiment would work on {audit.dataset}: {stops[0].text}"
    warned = f", with {len(problems)} thing{'s' if len(problems) > 1 else ''} to look at" if problems else ""
    return f"an experiment can work on {audit.dataset}{warned}"


def _amount(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Is there enough to learn from?"""
    if not audit.events:
        yield _stop("no row of the log becomes an event", "correct the mapping: the reasons are above")
        return
    if (count := len(_whole(audit, config))) < FEWEST_PARTITIONS:
        text = f"{count} partitions of one {audit.grain}, at least {FEWEST_PARTITIONS} are needed"
        yield _stop(text, "add more days: some are learnt from, others are labels, the last ones judge the model")
    wanted = {name for name, weight in config.weights.items() if weight > 0}
    if not wanted & set(audit.event_types):
        text = f"no event has a positive weight (there are: {', '.join(audit.event_types)})"
        yield _stop(text, "name the event types that show interest under weights and grades")
    elif not {name for name, grade in config.grades.items() if grade > 0} & set(audit.event_types):
        yield _stop("no event has a positive grade", "name the event types that a list should earn under grades")
    if len(audit.partitions) > 1:
        yield from _returning(audit)
    if audit.sources < _FEW_SOURCES:
        text = f"{audit.sources:,} sources: there is nothing to choose from"
        yield _stop(text, "map source_id to something finer, e.g. the author or the item")
    if audit.left is not None and audit.left < 1 and audit.events:
        kinds = ", ".join(config.subscription.event_types)
        text = f"{audit.left:.2f} of {audit.sources:,} sources are left to a user on average, all others are met ({kinds}): nothing to recommend"
        remedy = f"take `subscription` out of configs/datasets/{audit.dataset}.yml: what was met may then be recommended again"
        yield _stop(text, remedy)


def _returning(audit: Audit) -> Iterator[Finding]:
    """Does a user come again, or is it a single visit?"""
    come, about = audit.come_back, "about " if audit.histories.divisor > 1 else ""
    told = f"{about}{come:,} of {audit.users:,} users come on a second {audit.grain}"
    if audit.users < _FEW_RETURNING:
        text = f"{audit.users:,} users are too few: at least {_FEW_RETURNING} who come on a second {audit.grain} are needed"
        yield _stop(text, "take a log with more people, or a longer one")
    elif (again := audit.users - audit.once[c.USERS]) < _FEW_RETURNING:
        yield _stop(f"{again:,} of {audit.users:,} users have a second event", _person_instead(audit))
    elif come < _FEW_RETURNING:
        yield _stop(f"user_id looks like a visit and not like a person: {told}", _person_instead(audit))
    elif come < RARELY * audit.users:
        yield _warn(f"most users come once: {told}", f"if user_id is a visit: {_person_instead(audit)}")


def _person_instead(audit: Audit) -> str:
    if audit.persons:
        return f"its rows have a column that could be the person: columns: {{user_id: {audit.persons[0]}}}"
    return (
        "map user_id to the person, or take a longer log; if people only ever come once, no list can be learnt for them: "
        "what is popular, or what goes with what is being looked at, needs no user and is not what this program makes"
    )


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
        yield _warn(text, "if the log repeats itself, name an id of the event: events.unique_by: [column]")


def _unknown_ids(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Are all users people and all sources things?"""
    for name, what, reason in (
        (c.USER_ID, "an unknown user", "nobody"),
        (c.SOURCE_ID, "an unknown source", "no_source"),
    ):
        seen = audit.markers[name]
        certain = [one for one in seen if one.certain or isinstance(one.values[0], int)]
        for group, doubt in (
            (certain, ""),
            ([one for one in seen if one not in certain], "unless that is an honest name, "),
        ):
            count = sum(one.events for one in group)
            if count > _WRONG * audit.events:
                looks = "looks" if len(group) == 1 else "look"
                text = f"{count:,} events have {name} {_listed(group)}, which {looks} like {what} ({count / audit.events:.1%} of all)"
                yield _warn(
                    text,
                    f"{doubt}set them aside: drop_if: {{{reason}: {_yaml(_condition(name, group, config))}}}",
                )


def _listed(markers: list[Marker]) -> str:
    shown = ", ".join(str(one.values[0]) for one in markers[:4])
    return shown + (f" and {len(markers) - 4} more" if len(markers) > 4 else "")


def _condition(name: str, markers: list[Marker], config: DatasetConfig) -> str:
    return condition(
        config.events.columns.get(name, "<raw column>"), [value for one in markers for value in one.values]
    )


def _yaml(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _spellings(audit: Audit) -> Iterator[Finding]:
    """Is an id spelt in one way?"""
    for pair in audit.spellings:
        ids = "users" if pair.column == c.USER_ID else "sources"
        shown = f", e.g. {' and '.join(pair.example)}" if len(pair.example) > 1 else ""
        several = f"{pair.ids:,} {ids} are spelt in more than one way{shown}"
        if pair.spelling is None:
            yield _warn(
                f"{several}: as numbers each is one",
                f"if leading zeros or signs tell them apart: hash_ids: [{pair.column}]",
            )
        else:
            said = f"id_spelling: {{{pair.column}: "
            remedy = f"if they are the same: {said}{pair.spelling}}}; if not: {said}exact}}"
            yield _warn(f"{several}: each of them counts as several {ids}", remedy)


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


def _days(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Is the calendar whole?"""
    if audit.emptied:
        what = f"with {sum(audit.emptied.values()):,} rows and no event, where a run would stop"
        yield _stop(
            _dates(audit.emptied, audit.grain, what),
            "correct the mapping until they have events: what is set aside, and why, is above",
        )
    if len(audit.partitions) < 3:
        return
    if audit.gaps:
        text = _dates(audit.gaps, audit.grain, "without an event")
        yield _warn(text, "deliver them, or accept that windows skip them")
    yield from _ends(audit, config)


def _dates(dts: Collection[str], grain: str, what: str) -> str:
    shown = ", ".join([*dts][:3]) + (", ..." if len(dts) > 3 else "")
    return f"{len(dts)} {grain}{'s' if len(dts) > 1 else ''} {what}: {shown}"


def _ends(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Are the first and the last partition whole?"""
    dts, partial = list(audit.partitions), audit.partial
    usual = median(list(audit.partitions.values())[1:-1])
    if partial and config.partition.partial_last_day == "leave_out":
        yield _warn(
            f"{partial}: it is left out",
            "nothing: it comes in when it is whole or a later day follows; to take it "
            "as it is: partition: {partial_last_day: keep}",
        )
        dts = [*dts[:-1], ""] if dts[-1] == partial.dt else dts
    elif partial and audit.partitions[dts[-1]] >= _THIN_DAY * usual:
        yield _warn(f"{partial}: it seems cut off", "leave it out: partition: {partial_last_day: leave_out}")
    for dt, end, key in ((dts[0], "first", "start"), (dts[-1], "last", "end")):
        if dt and audit.partitions[dt] < _THIN_DAY * usual:
            other = dts[1] if key == "start" else dts[-2]
            text = f"the {end} {audit.grain}, {dt}, has {audit.partitions[dt]:,} events, the median one {usual:,.0f}"
            yield _warn(f"{text}: it seems cut off", f'leave it out: partition: {{{key}: "{other}"}}')


def _people(audit: Audit, config: DatasetConfig) -> Iterator[Finding]:
    """Who are the users, and do impressions and reactions belong together?"""
    if audit.largest_user is not None and audit.largest_user[1] > max(_ONE_USER * audit.events, 1000):
        (user, count), named = audit.largest_user, audit.names[c.USER_ID]
        robot = condition(
            config.events.columns.get(c.USER_ID, "<raw column>"),
            [named if c.USER_ID in config.events.hash_ids else user],
        )
        yield _warn(
            f"user {named} has {count / audit.events:.0%} of all events",
            f"if that is a robot: drop_if: {{robot: {_yaml(robot)}}}",
        )
    shown = audit.event_types.get(c.IMPRESSION, 0)
    if config.has_impressions != bool(shown) and audit.events:
        text = (
            "has_impressions is true, but there is none"
            if config.has_impressions
            else "there are impressions, but has_impressions is false"
        )
        yield _warn(text, f"has_impressions: {'false' if config.has_impressions else 'true'}")
    if audit.without_impression > _UNSHOWN * audit.reactions and shown:
        text = f"{audit.without_impression:,} of {audit.reactions:,} posts were reacted to and never shown"
        yield _warn(text, "check that impressions and reactions use the same user, source and item ids")


def _lookups(audit: Audit) -> Iterator[Finding]:
    for table, counts in audit.tables.items():
        if counts.get("missing"):
            text = f"{counts['missing']:,} {table} of the events have no row in {table}"
            yield _warn(text, "they stay without name and attributes; deliver the missing rows if they matter")
