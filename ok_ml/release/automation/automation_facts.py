"""What is the case with an experiment, read from the lake: whether its newest day may be learnt from and served."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ok_ml import columns as c
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.errors import ConfigError, DataError, NotCommitted, TransientError
from ok_ml.lake import Manifest, fingerprint
from ok_ml.monitoring.judges.feature_judge import DRIFTED
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT
from ok_ml.release.automation.retraining import Answer, Decision, Facts, Try
from ok_ml.release.gate.promoting import DECIDED
from ok_ml.release.publishing import overtaking_generation
from ok_ml.release.training_recipe import in_short, recipe_of
from ok_ml.stages.blocked_days import of_features
from ok_ml.stages.pipeline import Pipeline

_BINS = "bins"


def gather(
    pipeline: Pipeline,
    tries: Sequence[Try] = (),
    complaint: Callable[[str], str | None] | None = None,
    *,
    overdue_since: str = "",
) -> Facts:
    """Everything that the causes of a retraining look at, as of now.

    Parameters
    ----------
    tries
        Trainings that were asked for, oldest first.
    complaint
        Time of the last decision, ISO in UTC -> what the check of the online metrics has complained of since.
    overdue_since
        When the champion's freshness policy failed, ISO in UTC; empty if it has not. Dagster's daemon looks every 30 seconds, so
        what failed before the last decision is only not looked at again yet.
    """
    now, config = pipeline.pinned(), pipeline.config
    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    decided = _decision(champion) if champion is not None else None
    wait = why_wait(now)
    try:
        recipe = recipe_of(pipeline)
    except ConfigError as error:
        recipe, wait = dict((decided.recipe if decided else None) or {}), str(error)
    online = complaint(decided.at) if complaint is not None and decided is not None else None
    warned = list(_warned(now, champion, decided)) if champion is not None and decided is not None else []
    return Facts(
        limits=config.retraining,
        model_days=config.freshness.model_days,
        today=now.upto,
        wait=wait,
        decided=decided,
        recipe=recipe,
        warned=warned,
        online=online,
        tries=tries,
        overdue=decided is not None and overdue_since > decided.at,
    )


def why_wait(pipeline: Pipeline) -> str | None:
    """Why nothing may be learnt from the newest day, or served from it; None if it may.

    Its features must be there, made from what is committed now, checked, and not blocked.
    """
    try:
        dt = pipeline.calendar().serve_cut
    except DataError as error:
        return error.problem
    try:
        if not all(pipeline.is_current(table, dt) for table in pipeline.feature_tables):
            return f"the features of {dt} are not there yet"
        if not pipeline.type.has(c.FEATURE_STATISTICS):
            return None
        verdict = _verdict(pipeline, dt)
        if verdict is None or not _is_of_present_features(pipeline, verdict):
            return f"the features of {dt} are not checked yet"
    except NotCommitted as error:
        return error.problem
    return f"the features of {dt} are blocked" if of_features(pipeline.project, pipeline.name, dt) else None


def _is_of_present_features(pipeline: Pipeline, verdict: Manifest) -> bool:
    """Whether a verdict is on the features as they are; a new champion alone, whose bins are others, is no matter."""
    statistics = pipeline.lake.find(pipeline.name, c.FEATURE_STATISTICS, verdict.partition)
    if statistics is None or verdict.inputs["statistics"] != statistics.data_version:
        return False
    wanted = pipeline.inputs_of(c.FEATURE_STATISTICS, verdict.partition)
    return {**statistics.inputs, _BINS: ""} == {**wanted, _BINS: ""}


def _verdict(pipeline: Pipeline, dt: str) -> Manifest | None:
    return pipeline.lake.find(pipeline.name, FEATURE_VERDICT, dt)


def _decision(champion: Manifest) -> Decision:
    told = champion.details.get(DECIDED) or {}
    dt = told.get("dt") or champion.details["serve_cut"]
    return Decision(str(dt), champion.version, champion.committed_at, told.get("recipe"))


def _warned(pipeline: Pipeline, champion: Manifest, decided: Decision) -> Iterator[tuple[str, str]]:
    """The newest days in a row that warned against the present champion since it was decided upon, newest first."""
    for dt in reversed(pipeline.committed()):
        verdict = _verdict(pipeline, dt) if dt > decided.dt else None
        drifted = verdict.details.get(DRIFTED) if verdict is not None and not verdict.details.get("blocks") else None
        if verdict is None or not drifted or verdict.inputs.get("champion") != champion.data_version:
            return
        yield dt, in_short(drifted)


# -- serving -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """What predictions of the newest day would be made from.

    Attributes
    ----------
    dt
        The newest day; empty while nothing can be predicted.
    key
        The same for the same input: predictions of one input are asked for once.
    wanted
        Whether they are to be made, and why or why not.
    """

    dt: str
    key: str
    wanted: Answer


def batch_of(pipeline: Pipeline) -> Batch:
    """Whether the newest day is not predicted yet from its features by the present champion, or not served.

    So a backfill of an old day calls for nothing, and neither does a decision that left the champion in its place.
    """
    now = pipeline.pinned()
    dt = now.upto or ""
    wait = "there is no champion" if pipeline.lake.find(pipeline.name, c.CHAMPION) is None else why_wait(now)
    if wait is not None:
        return Batch(dt, "", Answer(False, wait))
    try:
        inputs = now.inputs_of(c.PREDICTIONS, dt)
    except NotCommitted as error:
        return Batch(dt, "", Answer(False, error.problem))
    key = f"{dt}:{fingerprint({**inputs})[:12]}"
    if not pipeline.lake.is_current(pipeline.name, c.PREDICTIONS, dt, inputs):
        return Batch(dt, key, Answer(True, f"{dt} is not predicted by the present champion"))
    overtaking = _overtaking(pipeline)
    if overtaking is not None:
        name = generation_name(overtaking)
        return Batch(dt, f"{key}:{name}", Answer(True, f"{name} is served, newer than the publication on record"))
    return Batch(dt, key, Answer(False, f"{dt} is predicted by the present champion"))


def _overtaking(pipeline: Pipeline) -> int | None:
    try:
        return overtaking_generation(pipeline)
    except TransientError:  # the storage does not answer now; the next look asks again
        return None
