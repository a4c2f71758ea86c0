"""The sensor that evaluates the automation conditions of every asset, and says why it starts what it starts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.graph import keys
from ok_ml.graph.automation_state import AutomationState, Sight, batch_tags, training_tags
from ok_ml.graph.dagster_private import copy
from ok_ml.lake import fingerprint
from ok_ml.release.automation.retraining import outlook
from ok_ml.release.training_recipe import CODE, CONFIG, changes, in_short
from ok_ml.stages.stage import Phase

_TICK_SECONDS = 10
_VERSION, _RECIPE = "dagster/data_version", "recipe"


class Automation(dg.AutomationConditionSensorDefinition):
    """Dagster's sensor over conditions, evaluated where the conditions are, which adds to each run the reason for it.

    Parameters
    ----------
    automation
        What the conditions see.
    experiments
        Those with a cycle of their own.
    """

    def __init__(self, *, automation: AutomationState, experiments: Sequence[str], **settings: Any) -> None:
        super().__init__(use_user_code_server=True, **settings)
        self._state, self._experiments, self._settings = automation, tuple(experiments), settings

    def with_attributes(self, *, metadata: Mapping[str, Any] | None = None, **_jobs: Any) -> "Automation":
        """A copy; jobs mean nothing here."""
        settings = self._settings | ({"metadata": metadata} if metadata is not None else {})
        return Automation(automation=self._state, experiments=self._experiments, **settings)

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> Any:
        """As Dagster evaluates it; runs get their reasons, a quiet tick says what is waited for."""
        result = super().evaluate_tick(context)
        sights = {name: sight for name in self._experiments if (sight := self._state.last(name)) is not None}
        starts = {name: self._state.starts(name) for name in sights}
        requests = [_explained(one, sights, starts) for request in result.run_requests or () for one in _apart(request)]
        observed = [one for name, sight in sights.items() for one in _observation(context.instance, name, sight)]
        said = result.skip_message and "; ".join(f"{name}: {outlook(sight.facts)}" for name, sight in sights.items())
        return copy(
            result,
            run_requests=requests,
            skip_message=said or result.skip_message,
            asset_events=[*result.asset_events, *observed],
        )


def automation_sensor(automation: AutomationState, experiments: Sequence[str]) -> Automation:
    """Runs automatically from the first start; sensors that start STOPPED retrain nothing."""
    return Automation(
        automation=automation,
        experiments=experiments,
        name="automation",
        target=dg.AssetSelection.all(include_sources=True),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_TICK_SECONDS,
        emit_backfills=False,
        description="Retrain what is stale, drifted or changed; predict and publish what is new.",
    )


def _apart(request: dg.RunRequest) -> Iterator[dg.RunRequest]:
    """A request for each experiment or dataset: what fails in one of them is no matter of the others."""
    selected = request.asset_selection or ()
    scopes = sorted({key.path[0] for key in selected})
    if len(scopes) < 2:
        yield request
        return
    for scope in scopes:
        own, checks = [key for key in selected if key.path[0] == scope], request.asset_check_keys
        checked = None if checks is None else [key for key in checks if key.asset_key.path[0] == scope]
        yield request.with_replaced_attrs(asset_selection=own, asset_check_keys=checked)


def _explained(
    request: dg.RunRequest, sights: Mapping[str, Sight], starts: Mapping[str, Mapping[str, Phase]]
) -> dg.RunRequest:
    """The same request with the reason among its tags, if it starts a training or a batch."""
    tags = dict(request.tags)
    for key in request.asset_selection or ():
        experiment = key.path[0]
        phase = starts.get(experiment, {}).get(key.path[-1])
        if phase is Phase.TRAINING:
            tags |= training_tags(experiment, sights[experiment])
        elif phase is Phase.SERVING:
            tags |= batch_tags(experiment, sights[experiment])
    return request.with_replaced_attrs(tags=tags)


# -- the configuration as an asset ---------------------------------------------------------------------------------


def _observation(instance: dg.DagsterInstance, experiment: str, sight: Sight) -> list[dg.AssetObservation]:
    """One observation of `<experiment>/config` when it is not what it was when last observed."""
    key, recipe = keys.asset_key(experiment, c.CONFIG), dict(sight.facts.recipe)
    version = fingerprint({_RECIPE: recipe})
    before = _last(instance, key)
    if before is not None and (before.tags or {}).get(_VERSION) == version:
        return []
    metadata: dict[str, Any] = {_RECIPE: recipe}
    if before is not None:
        then: Any = before.metadata[_RECIPE].value
        metadata["changed"] = in_short([phrase for part in (CONFIG, CODE) for phrase in changes(then, recipe, part)])
    return [dg.AssetObservation(key, metadata=metadata, tags={_VERSION: version})]


def _last(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetObservation | None:
    records = instance.fetch_observations(key, limit=1).records
    return records[0].asset_observation if records else None
