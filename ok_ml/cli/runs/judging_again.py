"""Checks evaluated again after a person has accepted something, so that their incidents close by themselves."""

from collections.abc import Iterable, Iterator

from ok_ml import columns as c
from ok_ml.cli.runs.dagster_run import Graph
from ok_ml.cli.runs.killed_runs import own_process
from ok_ml.config.models import Project
from ok_ml.graph import keys
from ok_ml.lake import Lake
from ok_ml.local.services.dagster_instance import instance_home
from ok_ml.monitoring.judges.event_judge import settle_events
from ok_ml.quality.judges.verdicts import Verdict


def judge_again(project: Project, verdicts: Iterable[Verdict]) -> list[str]:
    """Evaluate the checks that tell of some verdicts; the names of those that fail even so.

    Nothing where no Dagster instance is yet, which then knows of no failed check.
    """
    if not (instance_home(project) / "dagster.yaml").is_file():
        return []
    verdicts = [*verdicts]
    for name in {one.scope for one in verdicts} & {
        *project.datasets
    }:  # later days are compared with an accepted one again
        settle_events(project, project.datasets[name], Lake(project.lake_root))
    assets = {asset for one in verdicts for asset in _assets(project, one)}
    graph = Graph(project)
    made = {asset for asset in assets if graph.instance.has_asset_key(keys.asset_key(*asset))}
    checks = {key for key in graph.job.asset_layer.asset_graph.asset_check_keys if tuple(key.asset_key.path) in made}
    if not checks:
        return []
    subset = graph.job.get_subset(asset_check_selection=checks)
    console = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = subset.execute_in_process(
        instance=graph.instance, tags=own_process(), run_config=console, raise_on_error=False
    )
    fine = {
        one.asset_check_key
        for one in result.get_asset_check_evaluations()
        if one.passed or keys.NOTHING_JUDGED in one.metadata
    }
    return sorted(key.to_user_string() for key in checks - fine)


def _assets(project: Project, verdict: Verdict) -> Iterator[tuple[str, str]]:
    yield from ((verdict.scope, table) for table in verdict.told_by)
    lake = Lake(project.lake_root)
    readers = [name for name in project.experiments if project.dataset_of(name).dataset == verdict.scope]
    # The log of a day is part of what is said of its features, if it has any yet.
    yield from ((name, c.FEATURE_STATISTICS) for name in readers if lake.find(name, c.FEATURE_STATISTICS, verdict.dt))
