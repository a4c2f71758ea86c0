"""The asset graph of the shipped configuration: a snapshot that shows in review what a change does to it, and its rules."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster_shared.serdes import serialize_value
from syrupy.assertion import SnapshotAssertion

from ok_ml.config.loader import load_project
from ok_ml.definitions import build_definitions
from ok_ml.lake import Lake
from ok_ml.stages.opening import type_of
from tests.small_project import ROOT

TOP_GROUPS, ASSETS_A_GROUP, FIRST_LINE = 6, 10, 60
OWN_VARIABLES = ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def definitions(state: Path) -> Iterator[dg.Definitions]:
    """The definitions of configs/ as `make run` loads them, with a state folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OWN_VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("OK_ML_STATE", str(state))
        patch.setenv("NUMBA_CACHE_DIR", str(state / "numba"))  # else it would be set for all later tests
        yield build_definitions(load_project(ROOT))


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    found = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    return dict(sorted(found.items()))


def test_the_graph(definitions: dg.Definitions, specs: dict[str, dg.AssetSpec], snapshot: SnapshotAssertion) -> None:
    """A wanted change: look at the difference, then `pytest --snapshot-update tests/graph`."""
    assert "\n".join(drawn(definitions, specs)) == snapshot


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        ("spark", "settings"),
        ("spark", "state_dir"),
        ("mlflow", "tracking_uri"),
        ("lake", "root"),
        ("broker", "bootstrap_servers"),
        ("storage", "path"),
    ],
)
def test_whoever_launches_a_run_cannot_say_what_a_resource_is_made_of(
    definitions: dg.Definitions, resource: str, field: str
) -> None:
    """Spark's settings name code that the driver runs."""
    job = definitions.resolve_implicit_global_asset_job_def()
    dg.validate_run_config(job, {})
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, {"resources": {resource: {"config": {field: {"spark.plugins": "Mine"}}}}})


def drawn(definitions: dg.Definitions, specs: dict[str, dg.AssetSpec]) -> Iterator[str]:
    """The graph as lines: assets by group, then jobs, sensors and resources."""
    graph = definitions.resolve_asset_graph()
    groups = defaultdict(list)
    for name, spec in specs.items():
        groups[spec.group_name].append(name)
    for group in sorted(groups):
        yield f"group {group}"
        for name in sorted(groups[group]):
            yield from drawn_asset(graph.get(specs[name].key), specs[name])
            yield from (
                line for key in sorted(graph.get(specs[name].key).check_keys) for line in drawn_check(definitions, key)
            )
    jobs = [
        (job.name, sorted(key.to_user_string() for key in asset_keys(definitions, job.name)))
        for job in definitions.jobs
    ]
    for name, selected in sorted(jobs):
        yield f"job {name}: {', '.join(selected)}"
    for sensor in sorted(definitions.sensors, key=lambda sensor: sensor.name):
        yield f"sensor {sensor.name}: {sensor.default_status.value}, every {sensor.minimum_interval_seconds} s"
    for schedule in sorted(definitions.schedules, key=lambda schedule: schedule.name):
        yield f"schedule {schedule.name}: {schedule.default_status.value}, {schedule.cron_schedule}"
    yield f"resources {', '.join(sorted(definitions.resources))}"


def drawn_asset(node: object, spec: dg.AssetSpec) -> Iterator[str]:
    partitions = spec.partitions_def or node.partitions_def
    yield f"  {spec.key.to_user_string()}: {(spec.description or '').splitlines()[0]}"
    yield f"    kinds {', '.join(sorted(spec.kinds))}; owners {', '.join(spec.owners)}; tags {drawn_tags(spec)}; code {spec.code_version}"
    where = f"partitions {partitions.name}" if partitions is not None else "one partition"
    yield f"    {where}; {drawn_freshness(spec.freshness_policy)}"
    if spec.automation_condition is not None:
        yield f"    runs by itself: {spec.automation_condition.get_label()}"
    if spec.deps:
        yield f"    needs {', '.join(sorted(dep.asset_key.to_user_string() for dep in spec.deps))}"


def drawn_freshness(window: dg.FreshnessPolicy | None) -> str:
    if window is None:
        return "never stale"
    return f"stale after {window.fail_window.to_timedelta()}, warns after {window.warn_window.to_timedelta()}"


def drawn_tags(spec: dg.AssetSpec) -> str:
    own = {name: value for name, value in spec.tags.items() if not name.startswith("dagster/")}
    return ", ".join(f"{name}={value}" for name, value in sorted(own.items()))


def drawn_check(definitions: dg.Definitions, key: dg.AssetCheckKey) -> Iterator[str]:
    (spec,) = [spec for check in definitions.asset_checks for spec in check.check_specs if spec.key == key]
    yield f"    check {spec.name}{', blocking' if spec.blocking else ''}: {spec.description}"


def asset_keys(definitions: dg.Definitions, job: str) -> set[dg.AssetKey]:
    return definitions.resolve_job_def(job).asset_layer.selected_asset_keys


# -- rules ---------------------------------------------------------------------------------------------------------


def test_every_asset_says_whose_it_is_and_what_it_is(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        own_tags = {tag for tag in spec.tags if not tag.startswith("dagster/")}
        assert spec.owners, name
        assert spec.kinds, name
        assert own_tags, name
        assert spec.group_name, name
        assert spec.code_version, name
        ages = spec.key.path[-1] != "config"  # an unchanged configuration is not late
        assert isinstance(spec.freshness_policy, dg.FreshnessPolicy) == ages, name


def test_every_description_starts_with_one_short_sentence(specs: dict[str, dg.AssetSpec]) -> None:
    """The catalogue shows the first line as raw text, and no more of it than this."""
    for name, spec in specs.items():
        first = (spec.description or "").splitlines()[0] if spec.description else ""
        assert 0 < len(first) <= FIRST_LINE, f"{name}: {first!r}"
        assert re.fullmatch(r"[A-Z][^`*_<>#]*\.", first), f"{name}: {first!r} is no sentence, or has markup"


def test_every_check_has_a_sentence(definitions: dg.Definitions) -> None:
    found = [spec for check in definitions.asset_checks for spec in check.check_specs]
    assert found
    assert [spec.name for spec in found if not (spec.description or "").endswith(".")] == []


def test_few_numbered_groups_of_few_assets(specs: dict[str, dg.AssetSpec]) -> None:
    sizes: dict[str, int] = defaultdict(int)
    for spec in specs.values():
        sizes[spec.group_name] += 1
    tops = {group.split("/")[0] for group in sizes}
    assert len(tops) <= TOP_GROUPS
    assert [top for top in tops if not re.fullmatch(r"[1-9]_[a-z]+", top)] == []
    assert {group: size for group, size in sizes.items() if size > ASSETS_A_GROUP} == {}


def test_nothing_has_to_be_switched_on(definitions: dg.Definitions) -> None:
    assert list(definitions.sensors)
    assert [s.name for s in definitions.sensors if s.default_status is not dg.DefaultSensorStatus.RUNNING] == []
    # What a schedule does, the conditions do without one; it is for those who want a fixed hour.
    assert {s.default_status for s in definitions.schedules} == {dg.DefaultScheduleStatus.STOPPED}


def test_every_dependency_is_an_asset_of_the_graph(definitions: dg.Definitions, specs: dict[str, dg.AssetSpec]) -> None:
    """One that is not would be shown as an External Asset: what a collector makes, and what people write."""
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == set(specs)
    external = {key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).is_executable}
    assert external == {"events_topic/raw_log", *(f"{name}/config" for name in load_project(ROOT).experiments)}


def test_what_reaches_users_stands_behind_blocking_checks(definitions: dg.Definitions) -> None:
    blocking = {spec.key.to_user_string() for c in definitions.asset_checks for spec in c.check_specs if spec.blocking}
    project = load_project(ROOT)
    types = {name: type_of(project, name) for name in project.experiments}
    wanted = {f"{name}/predictions:{kind.kind.check}" for name, kind in types.items() if kind.kind is not None}
    watched = {name for name, kind in types.items() if kind.has("feature_statistics")}
    wanted |= {f"{name}/feature_statistics:feature_distributions" for name in watched}
    assert len(wanted) > len(types), "every type serves, and some watch features"
    assert wanted <= blocking


def test_tables_of_features_say_what_each_column_is_and_where_it_comes_from(specs: dict[str, dg.AssetSpec]) -> None:
    schema = specs["prod_discovery/user_features"].metadata["dagster/column_schema"]
    lineage = specs["prod_discovery/user_features"].metadata["dagster/column_lineage"].deps_by_column
    columns = {column.name: column for column in schema.columns}
    assert set(columns) == {"user_id", *lineage}
    share = columns["user_video_share"]
    assert "window: 9 days" in share.description, "the YAML's affinity_days"
    assert "events.content_type" in share.description
    assert share.constraints.other == ["at least 0", "at most 1"]
    assert dg.TableColumnDep(dg.AssetKey(["ok_world", "events"]), "content_type") in lineage["user_video_share"]
    texts = specs["post_topic/text_features"].metadata["dagster/column_lineage"].deps_by_column
    assert {dep.asset_key.to_user_string() for deps in texts.values() for dep in deps} == {"ok_posts/texts"}


def test_every_stage_says_which_partitions_it_reads(specs: dict[str, dg.AssetSpec]) -> None:
    """Dagster knows of days only that the same one is read."""
    project = load_project(ROOT)
    for name in project.experiments:
        for stage in type_of(project, name).stages:
            read = specs[f"{name}/{stage.name}"].metadata.get("reads")
            rows = [record.data for record in read.records] if read is not None else []
            tables = [table for one in stage.reads if one.partitions is not None for table in one.tables]
            assert [str(row["table"]).split("/")[1] for row in rows] == tables, stage.name
            assert [row for row in rows if not row["partitions"]] == [], f"{name}/{stage.name}"


def test_only_a_release_by_itself_has_automation(specs: dict[str, dg.AssetSpec]) -> None:
    automatic = {name for name, config in load_project(ROOT).experiments.items() if config.release.cycle == "automatic"}
    assert automatic
    for name, spec in specs.items():
        scope, table = name.split("/")
        by_itself = scope in automatic and table in BY_THEMSELVES
        assert (spec.automation_condition is not None) == by_itself, name


BY_THEMSELVES = {
    "embeddings", "training_set", "model", "evaluation", "champion", "retrieval", "embedding_statistics", "predictions",
    "prediction_statistics", "publication", "live_predictions",
}  # fmt: skip


def test_the_webserver_can_be_told_of_the_graph(definitions: dg.Definitions) -> None:
    """Conditions of our own are told as pictures; one that Dagster overlooks leaves webserver and daemon without a graph."""
    from dagster._core.remote_representation.external_data import RepositorySnap

    told = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "a training is called for" in told


def test_the_definitions_are_valid_and_write_nothing(definitions: dg.Definitions, state: Path) -> None:
    dg.Definitions.validate_loadable(definitions)
    assert not Lake(state / "lake").root.exists()
    assert list(state.iterdir()) == []
