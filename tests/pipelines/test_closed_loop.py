"""The closed loop: what is served is what the simulated users are shown, and the online metrics tell good lists from bad.

One simulated past, three futures of two days: lists by popularity, the best ones there are, and the best ones dealt out to
the wrong users, as a broken join would.
"""

import os
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.hashing import part_of
from ok_ml.lake import Lake
from ok_ml.monitoring.plots.series_plots import plot_online
from ok_ml.monitoring.series.live_history import Served, record_live
from ok_ml.monitoring.series.product_metrics import build_product_metrics
from ok_ml.quality.statistics.number_series import Name, read_days
from ok_ml.ranked_lists.online_metrics import REASON, build_online_metrics, is_current
from ok_ml.stages.opening import open_pipeline
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.oracle import oracle_top
from ok_ml.world.log.raw_log import export_days
from ok_ml.world.population.network import World
from tests.pipelines import world_project
from tests.pipelines.world_project import DATASET, EXPERIMENT, make_world_project

USERS, SOURCES, PAST, FUTURE, LENGTH = 1_200, 150, 5, 2, 20


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A project whose raw log ends with the day before the lists; its last three days are ingested."""
    base = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_project, "USERS", USERS)
        patch.setattr(world_project, "SOURCES", SOURCES)
        root = make_world_project(base / "project")
        for name in [name for name in os.environ if name.startswith("OK_ML_") and name != "OK_ML_CACHE"]:
            patch.delenv(name)
        patch.setenv("OK_ML_STATE", str(base / "state"))
        patch.setenv("NUMBA_CACHE_DIR", str(base / "numba"))
        found = open_pipeline(load_project(root, "tiny"), EXPERIMENT)
    world = world_of(found)
    days = [world.date_of(number) for number in range(PAST)]
    export_days(world, found.lake, DATASET, days, workers=1)
    ingest(found, days[-3:])
    return found


def world_of(pipeline):
    return World(pipeline.dataset.world, pipeline.dataset.parts)


def ingest(pipeline, days):
    ingest_events(pipeline.dataset, pipeline.lake, days, root=pipeline.project.root)
    build_snapshots(pipeline.dataset, pipeline.lake, days, root=pipeline.project.root)


@pytest.fixture(scope="module")
def lists(pipeline):
    """Name -> int64 [users, LENGTH] for the users of the last day of the past, ascending."""
    world, cut = world_of(pipeline), pipeline.committed()[-1]
    users = np.sort(world.user_ids(PAST - 1))
    held = pipeline.lake.read(DATASET, c.SUBSCRIPTIONS, [cut]).sort_by(c.USER_ID)
    owners, sources = held[c.USER_ID].to_numpy(), held[c.SOURCE_ID].to_numpy()
    indptr = np.concatenate(([0], np.searchsorted(owners, users, side="right")))
    raw = pipeline.lake.read(DATASET, "raw_subscriptions", [cut])
    (best,) = oracle_top(world, users, PAST - 1, 1, (indptr, sources), LENGTH, raw)
    events = pipeline.lake.read(DATASET, c.EVENTS, pipeline.committed())
    ids, counts = np.unique(events[c.SOURCE_ID].to_numpy()[events[c.SOURCE_ID].to_numpy() > 0], return_counts=True)
    ranked = ids[np.argsort(-counts, kind="stable")]
    popular = [ranked[~np.isin(ranked, sources[indptr[i] : indptr[i + 1]])][:LENGTH] for i in range(len(users))]
    shuffled = best[np.random.default_rng(1).permutation(len(users))]
    return users, {"popular": np.array(popular), "best": best, "shuffled": shuffled}


@pytest.fixture(scope="module")
def futures(pipeline, lists, tmp_path_factory):
    """Name -> the pipeline on a lake of its own in which its lists were served, and the days."""
    users, by_name = lists
    return lived(pipeline, users, by_name, tmp_path_factory, FUTURE)


def lived(pipeline, users, by_name, folders, count, share=0.0):
    """Futures of some days, in which each of some lists were served; `share` of their places explores."""
    world, cut = world_of(pipeline), pipeline.committed()[-1]
    days = [world.date_of(PAST + number) for number in range(count)]
    found = {}
    for name, served in by_name.items():
        root = folders.mktemp(name) / "lake"
        shutil.copytree(pipeline.lake.root, root)
        mine = replace(pipeline, lake=Lake(root))
        shown, propensities = exploring(served, share)
        serve(mine, users, shown, name, cut, propensities)
        export_days(world, mine.lake, DATASET, days, served=ServedLists(users, shown, name), workers=1)
        ingest(mine, days)
        build_online_metrics(mine, days[:1])
        build_online_metrics(mine, days[1:])
        build_product_metrics(mine.dataset, mine.lake, days)
        found[name] = mine
    return days, found


def exploring(lists, share):
    """The lists with a share of their places drawn from what they do not hold, and the probability of each place."""
    draw, sources = np.random.default_rng(5), np.unique(lists[lists >= 0])
    shown, propensities = lists.copy(), np.full(lists.shape, 1 - share)
    for row, places in zip(shown, propensities, strict=True):
        at = np.flatnonzero(draw.random(len(row)) < share)
        free = np.setdiff1d(sources, row)
        row[at], places[at] = draw.permutation(free)[: len(at)], share / max(len(free), 1)
    return shown, propensities


def serve(pipeline, users, lists, name, cut, propensities):
    rows = pa.table(
        {
            c.USER_ID: users,
            c.PART: part_of(users, pipeline.dataset.parts),
            c.SOURCE_IDS: pa.array(lists.tolist(), pa.list_(pa.int64())),
            c.PROPENSITIES: pa.array(propensities.tolist(), pa.list_(pa.float32())),
        }
    )
    made = pipeline.lake.write(
        EXPERIMENT, c.PREDICTIONS, cut, rows, sort_by=[c.USER_ID], by_part=True, details={"model_version": 1}
    )
    record_live(pipeline.lake, EXPERIMENT, Served(1, name, cut, 1, made.version, cut))


def told(futures, metric, table=c.ONLINE_METRICS, scope=EXPERIMENT):
    """Name -> (sum of value x n, sum of n) over the days."""
    days, pipelines = futures
    numbers = {name: read_days(one.lake, scope, table, days) for name, one in pipelines.items()}
    rows = {name: [by_day[dt][Name(metric)] for dt in days] for name, by_day in numbers.items()}
    return {name: (sum(one.value * one.n for one in few), sum(one.n for one in few)) for name, few in rows.items()}


def deviations(better, worse):
    """By how many standard deviations of chance one share is above another."""
    (a, n), (b, m) = better, worse
    pooled = (a + b) / (n + m)
    return (a / n - b / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))


@pytest.mark.parametrize(("metric", "least"), [("hit_rate@10", 3), ("recall@10", 2), ("ndcg@10", 1.5)])
def test_better_lists_raise_the_metrics_and_broken_ones_lower_them(futures, metric, least):
    """The deviation is that of shares, which is more than what means between 0 and 1 vary by."""
    found = told(futures, metric)
    assert deviations(found["best"], found["popular"]) > 2 * least
    assert deviations(found["popular"], found["shuffled"]) > least
    assert deviations(found["best"], found["shuffled"]) > 3 * least


def test_people_react_more_to_better_lists(futures):
    rates = told(futures, "reaction_rate_served")
    assert deviations(rates["best"], rates["popular"]) > 6
    assert deviations(rates["best"], rates["shuffled"]) > 6
    days, pipelines = futures
    numbers = {name: read_days(one.lake, DATASET, c.PRODUCT_METRICS, days) for name, one in pipelines.items()}
    for metric, limit in (("reactions", 3), ("likes", 1.5)):
        counts = {name: sum(by_day[dt][Name(metric)].value for dt in days) for name, by_day in numbers.items()}
        for worse in ("popular", "shuffled"):
            assert (counts["best"] - counts[worse]) / np.sqrt(counts["best"] + counts[worse]) > limit, counts


def test_coverage_tells_one_list_for_all_from_personal_ones(futures):
    found = told(futures, "coverage@10")
    shares = {name: value / n for name, (value, n) in found.items()}
    assert shares["best"] > 4 * shares["popular"]


def test_the_days_that_follow_are_counted_once_they_are_there(futures):
    """The evaluation looks at two days; the second day has none after it yet."""
    days, pipelines = futures
    numbers = read_days(pipelines["best"].lake, EXPERIMENT, c.ONLINE_METRICS, days)
    first, second = (numbers[dt] for dt in days)
    assert first[Name("hit_rate@10/2d")].n > first[Name("hit_rate@10")].n
    assert Name("hit_rate@10/2d") not in second
    assert all(is_current(pipelines["best"], dt) for dt in days)


def test_a_day_on_which_nothing_was_served_has_no_rows_and_says_so(futures):
    _, pipelines = futures
    before = pipelines["best"].committed()[-FUTURE - 1]
    (manifest,) = build_online_metrics(pipelines["best"], [before])
    assert manifest.rows == 0
    assert manifest.details[REASON] == f"nothing was served on {before}, says the log of that day"


def test_segments_and_models_add_up(futures):
    days, pipelines = futures
    numbers = read_days(pipelines["popular"].lake, EXPERIMENT, c.ONLINE_METRICS, days)[days[0]]
    everybody = numbers[Name("hit_rate@10")]
    segments = [
        one for name, one in numbers.items() if name.metric == "hit_rate@10" and name.group.startswith("segment ")
    ]
    assert len(segments) > 3
    assert sum(one.n for one in segments) == everybody.n
    assert sum(one.value * one.n for one in segments) == pytest.approx(everybody.value * everybody.n)
    assert numbers[Name("hit_rate@10", "model 1")].value == everybody.value


def test_lists_that_are_gone_are_said_to_be_gone(futures):
    days, pipelines = futures
    gone = pipelines["shuffled"]
    shutil.rmtree(gone.lake.root / EXPERIMENT / c.PREDICTIONS)
    (manifest,) = build_online_metrics(gone, days[-1:])
    assert (manifest.rows, manifest.inputs) == (0, gone.inputs_of(c.ONLINE_METRICS, days[-1]))
    assert "not in the lake any more" in manifest.details[REASON]


def test_the_plots_are_drawn(futures):
    _, pipelines = futures
    found = plot_online(pipelines["best"], pipelines["best"].config.checks.online.fall)
    assert set(found) == {"quality", "by_segment", "by_model"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in found.values())
