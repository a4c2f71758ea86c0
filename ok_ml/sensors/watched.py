"""What the alerts know of the graph: who owns an asset, what it is made from, how fast its days go by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import dagster as dg

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.graph.conditions import day_seconds
from ok_ml.graph.dagster_private import RepositoryDefinition
from ok_ml.incidents.signals import DAY_SECONDS, Asset, Lineage
from ok_ml.stages.opening import type_of
from ok_ml.stages.stage import Phase

# Table of a dataset -> tables of which it tells; those of an experiment are said by their stages.
_DESCRIBES: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(c.DATASET_SERIES, (c.EVENTS,))


@dataclass(frozen=True)
class Watched:
    """The graph as the alerts see it; read once a code location.

    Attributes
    ----------
    owners
        Asset -> its first owner.
    steps
        Name of a step -> the assets that it makes or checks.
    jobs
        Name of a job -> its assets.
    automatic
        Scopes that are updated automatically: their staleness is an incident.
    trained
        Assets that a training makes.
    base_url
        Where Dagster's pages are; None if the configuration does not say.
    """

    keys: Mapping[Asset, dg.AssetKey]
    check_keys: tuple[dg.AssetCheckKey, ...]
    owners: Mapping[Asset, str]
    policies: Mapping[Asset, object]
    lineage: Lineage
    steps: Mapping[str, tuple[Asset, ...]]
    jobs: Mapping[str, frozenset[Asset]]
    days: Mapping[str, float]
    automatic: frozenset[str]
    trained: frozenset[Asset]
    base_url: str | None

    def day_seconds(self, asset: Asset | None) -> float:
        """Wall seconds of one day of an asset's data."""
        return self.days.get(asset[0], DAY_SECONDS) if asset is not None else DAY_SECONDS

    def owner(self, asset: Asset | None) -> str | None:
        """The first owner of an asset."""
        return None if asset is None else self.owners.get(asset)

    def page(self, asset: Asset | None, more: str = "") -> str | None:
        """An asset's page in Dagster."""
        return f"{self.base_url}/assets/{'/'.join(asset)}{more}" if self.base_url and asset else None

    def run_page(self, run_id: str) -> str | None:
        """A run's page in Dagster."""
        return f"{self.base_url}/runs/{run_id}" if self.base_url else None


def name_of(key: dg.AssetKey) -> Asset:
    """Scope and table of an asset's key."""
    scope, *rest = key.path
    return scope, "/".join(rest)


def watched(project: Project, repository: RepositoryDefinition) -> Watched:
    """Read the graph of a repository."""
    graph = repository.asset_graph
    nodes = {name_of(node.key): node for node in graph.asset_nodes}
    stages = {(name, stage.name): stage for name in project.experiments for stage in type_of(project, name).stages}
    told = {(name, table): of for name in project.datasets for table, of in _DESCRIBES.items()}
    told |= {asset: stage.describes for asset, stage in stages.items()}
    describes = {asset: [(asset[0], table) for table in told.get(asset, ())] for asset in nodes}
    home, port = project.environment.dagster.home, project.environment.dagster.port
    return Watched(
        keys={asset: node.key for asset, node in nodes.items()},
        check_keys=tuple(sorted(graph.asset_check_keys, key=lambda key: key.to_user_string())),
        owners={asset: next(iter(node.owners)) for asset, node in nodes.items() if node.owners},
        policies={asset: node.freshness_policy for asset, node in nodes.items() if node.freshness_policy},
        lineage=Lineage(
            {asset: [name_of(key) for key in node.parent_keys] for asset, node in nodes.items()},
            {asset: tables for asset, tables in describes.items() if tables},
        ),
        steps=_steps(repository),
        jobs={
            job.name: frozenset(map(name_of, job.asset_layer.selected_asset_keys)) for job in repository.get_all_jobs()
        },
        days=_days(project),
        automatic=_automatic(project),
        trained=frozenset(asset for asset, stage in stages.items() if stage.phase is Phase.TRAINING),
        base_url=f"http://127.0.0.1:{port}" if home is not None else None,
    )


def _steps(repository: RepositoryDefinition) -> dict[str, tuple[Asset, ...]]:
    steps: dict[str, tuple[Asset, ...]] = {}
    for key, asset in repository.assets_defs_by_key.items():
        if asset.is_executable:
            steps[asset.node_def.name] = (*steps.get(asset.node_def.name, ()), name_of(key))
    for check, definition in repository.asset_checks_defs_by_key.items():
        steps.setdefault(definition.node_def.name, (name_of(check.asset_key),))
    return steps


def _days(project: Project) -> dict[str, float]:
    seconds = {dataset: day_seconds(project, dataset) for dataset in project.datasets}
    return seconds | {name: seconds[project.dataset_of(name).dataset] for name in project.experiments}


def _automatic(project: Project) -> frozenset[str]:
    experiments = {name for name, one in project.experiments.items() if one.release.cycle == "automatic"}
    return frozenset(
        experiments | {project.dataset_of(name).dataset for name in experiments} | {*project.environment.collectors}
    )
