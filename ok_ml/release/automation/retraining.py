"""When a training is called for: causes, cool-down and retries as functions of facts. Nothing here knows of Dagster.

Everything is judged by state, never by events: what is committed, what the last decision about the champion was made
with, which trainings were asked for since. So a restart forgets nothing, a backfill of an old partition changes nothing,
and asking twice gives one answer. Ages are days of data: a log that has stopped makes no model old. The wall clock is
asked only of Dagster, whose freshness policy of the champion people see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias

from ok_ml.config.models import RetrainingConfig
from ok_ml.lake import fingerprint
from ok_ml.release.training_recipe import CODE, CONFIG, changes, in_short

Kind: TypeAlias = Literal["absent", "config", "code", "online", "drift", "stale"]
KINDS: Final[tuple[Kind, ...]] = ("absent", "config", "code", "online", "drift", "stale")  # as they are reported
_COOLED: Final = ("drift", "online")  # what the data say again every day


@dataclass(frozen=True)
class Decision:
    """The last time that a model was judged, whether or not it became champion.

    Attributes
    ----------
    dt
        The newest day that the judged model had learnt from.
    version
        Tells one decision from another.
    at
        When, as an ISO timestamp in UTC.
    recipe
        What the judged model was made by; None for one that was made before this was recorded.
    """

    dt: str
    version: str
    at: str = ""
    recipe: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Try:
    """A training that was asked for: why, as of which day, and whether its run has ended."""

    causes: frozenset[str]
    dt: str
    ended: bool = True


@dataclass(frozen=True)
class Facts:
    """All that the causes look at.

    Attributes
    ----------
    today
        The newest committed day; None before the first.
    wait
        Why nothing may be learnt from the newest day just now; None if it may.
    decided
        None before the first champion.
    warned
        The newest days in a row whose features warned against the present champion, newest first, with what was said.
    online
        What the failing check of the online metrics says; None while it passes, or if it failed before the decision.
    tries
        Trainings that were asked for, oldest first.
    overdue
        Whether the champion's freshness policy has failed, by the wall clock.
    """

    limits: RetrainingConfig
    model_days: float
    today: str | None
    wait: str | None
    decided: Decision | None
    recipe: Mapping[str, str]
    warned: Sequence[tuple[str, str]] = ()
    online: str | None = None
    tries: Sequence[Try] = ()
    overdue: bool = False

    @property
    def age_days(self) -> int:
        """Days of data since the last decision."""
        if self.today is None or self.decided is None:
            return 0
        return (date.fromisoformat(self.today) - date.fromisoformat(self.decided.dt)).days


@dataclass(frozen=True)
class Answer:
    """Whether something holds, in words that stand on their own."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Cause:
    """Something that triggers a training.

    Attributes
    ----------
    key
        Its kind and what it depends on: the same cause has the same key until a training has been judged.
    holds
        Whether it is there.
    due
        Whether a training may start for it now: cool-down and retries.
    """

    kind: Kind
    key: str
    holds: Answer
    due: Answer = field(default=Answer(False, ""))


def causes(facts: Facts) -> dict[Kind, Cause]:
    """Every kind of cause that this experiment listens to, whether it holds and whether it is due."""
    by_kind = {}
    for kind in KINDS:
        if kind == "absent" or kind in facts.limits.causes:
            holds, hangs_on = _HOLDS[kind](facts)
            key = f"{kind}:{fingerprint({'kind': kind, **hangs_on})[:12]}"
            by_kind[kind] = Cause(kind, key, holds, _due(facts, kind, key, holds))
    return by_kind


def called_for(facts: Facts) -> list[Cause]:
    """The causes for which a training may start now; nothing while the newest day cannot be learnt from."""
    if facts.wait is not None:
        return []
    return [cause for cause in causes(facts).values() if cause.holds.holds and cause.due.holds]


def reason(called: Sequence[Cause]) -> str:
    """Why a training starts, in one line."""
    return "; ".join(cause.holds.text for cause in called)


def outlook(facts: Facts) -> str:
    """What is the case and what is waited for, in one line."""
    called = called_for(facts)
    if called:
        return reason(called)
    if facts.wait is not None:
        return f"waits: {facts.wait}"
    held = [cause for cause in causes(facts).values() if cause.holds.holds]
    if held:
        return "; ".join(f"{cause.holds.text}, but {cause.due.text}" for cause in held)
    return f"no training is called for: {causes(facts)['stale'].holds.text if 'stale' in facts.limits.causes else 'nothing changed'}"


# -- causes --------------------------------------------------------------------------------------------------------


def _absent(facts: Facts) -> tuple[Answer, dict[str, object]]:
    """There is no champion: the first training needs no other cause. Another recipe is another cause after failed ones."""
    absent = facts.decided is None
    return Answer(absent, "there is no model yet" if absent else "there is a model"), {"recipe": dict(facts.recipe)}


def aged(facts: Facts) -> Answer:
    """The last decision is `freshness.model_days` days of data old.

    The decision counts, not the champion: a champion that held its own against a fresh model needs no other one yet.
    """
    age, limit = facts.age_days, facts.model_days
    return Answer(facts.decided is not None and age >= limit, f"model is {_days(age)} old (limit {limit:g})")


def overdue(facts: Facts) -> Answer:
    """The champion is overdue by the wall clock, as the UI shows it, and there is something new to learn.

    So a log that came late, or in jumps, is learnt from with its first day. One that has stopped calls for nothing: the same
    days would make the same model.
    """
    holds = facts.overdue and facts.decided is not None and facts.age_days > 0
    said = "the champion's freshness policy failed" if facts.overdue else "the champion is not overdue"
    return Answer(holds, f"{said}, {_days(facts.age_days)} of data came since")


def _stale(facts: Facts) -> tuple[Answer, dict[str, object]]:
    """The model is old: by its days of data, or else by the wall clock."""
    by_data, by_clock = aged(facts), overdue(facts)
    return by_data if by_data.holds or not by_clock.holds else by_clock, _decision(facts)


def _drift(facts: Facts) -> tuple[Answer, dict[str, object]]:
    """Features have been off the champion's reference for some days in a row: more than a day's noise, and let through.

    A day that is blocked ends the row: a fault is to be repaired, not learnt.
    """
    days, needed = len(facts.warned), facts.limits.drift_days
    if days < needed or facts.decided is None:
        return Answer(False, f"features warned on {_days(days)} in a row ({needed} needed)"), _decision(facts)
    return Answer(True, f"features drifted for {_days(days)}: {facts.warned[0][1]}"), _decision(facts)


def _online(facts: Facts) -> tuple[Answer, dict[str, object]]:
    """What people did with what was served has fallen, while no feature need have moved: tastes changed."""
    failed = facts.online is not None and facts.decided is not None
    return Answer(failed, f"online metrics fell: {facts.online}" if failed else "online metrics hold"), _decision(facts)


def _config(facts: Facts) -> tuple[Answer, dict[str, object]]:
    """The YAML that a training reads is not the one that the last judged model was made by.

    Compared with that model's own record, so a change made while nothing ran is seen, one taken back is none, and the
    first look is none either. Another experiment's file, or a limit of a check, is not in the recipe.
    """
    return _changed(facts, CONFIG, "configuration changed", "configuration as the model's")


def _code(facts: Facts) -> tuple[Answer, dict[str, object]]:
    """The code makes other rows from the same input than it did for the last judged model."""
    return _changed(facts, CODE, "code changed", "code as the model's")


def _changed(facts: Facts, part: str, changed: str, unchanged: str) -> tuple[Answer, dict[str, object]]:
    now: dict[str, object] = {key: value for key, value in facts.recipe.items() if key.startswith(f"{part}.")}
    if facts.decided is None or facts.decided.recipe is None:
        return Answer(False, unchanged), now
    phrases = changes(facts.decided.recipe, facts.recipe, part)
    return Answer(bool(phrases), f"{changed}: {in_short(phrases)}" if phrases else unchanged), now


_HOLDS: Final = {
    "absent": _absent,
    "config": _config,
    "code": _code,
    "online": _online,
    "drift": _drift,
    "stale": _stale,
}


def _decision(facts: Facts) -> dict[str, object]:
    return {"decision": facts.decided.version if facts.decided else "none"}


# -- cool-down and retries -----------------------------------------------------------------------------------------


def _due(facts: Facts, kind: Kind, key: str, holds: Answer) -> Answer:
    if not holds.holds:
        return Answer(False, "nothing to do")
    tries = [one for one in facts.tries if key in one.causes]
    if tries:
        return _retry(facts, tries)
    return _cooled(facts, kind) if kind in _COOLED else Answer(True, "at once")


def _retry(facts: Facts, tries: Sequence[Try]) -> Answer:
    """A training that failed is tried again on later days of data, so often a day and so often in all."""
    failed, most = len(tries), facts.limits.most_retries
    if not all(one.ended for one in tries):
        return Answer(False, "its training has not ended")
    if failed > most:
        return Answer(False, f"{_trainings(failed)} for it failed: it waits for another cause or a person")
    today = sum(one.dt == facts.today for one in tries)
    if tries[0].dt == facts.today or today >= facts.limits.retries_a_day:
        return Answer(False, f"{_trainings(failed)} for it failed: the next is tried on a later day of data")
    return Answer(True, f"retry {failed} of {most}")


def _cooled(facts: Facts, kind: Kind) -> Answer:
    """What a training did not cure is not cured by the next one at once: the cool-down doubles, up to the model's age."""
    row = _in_a_row(facts, kind)
    days = min(facts.limits.cool_down_days * 2**row, max(facts.model_days, facts.limits.cool_down_days))
    if facts.decided is None or facts.age_days >= days:
        return Answer(True, "at once")
    until = date.fromisoformat(facts.decided.dt) + timedelta(days=days)
    told = f" after {_trainings(row)} in a row for {kind}" if row else ""
    return Answer(False, f"the cool-down of {days:g} days lasts until {until.isoformat()}{told}")


def _in_a_row(facts: Facts, kind: Kind) -> int:
    """Trainings for this kind alone at the end of all that were asked for; tries for one and the same cause count once."""
    keys: list[str] = []
    for one in reversed(facts.tries):
        if {key.partition(":")[0] for key in one.causes} != {kind}:
            break
        keys += [key for key in one.causes if key not in keys]
    return len(keys)


def _days(count: int) -> str:
    return f"{count} day{'s' if count != 1 else ''}"


def _trainings(count: int) -> str:
    return f"{count} training{'s' if count != 1 else ''}"
