"""Served as judged: in a replayed week, lists are worth what the evaluation says of them, however old the champion is.

A simulated network is trained on once and then lives seven days, one by one. Nothing is served to its users, so that the log is
the same whatever lists are judged by it: one in which some were shown would prefer these.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from drills.deployment import DATASET, EXPERIMENT, Deployment
from drills.lab import Lab
from ok_ml import columns as c
from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.ranked_lists.exposures import padded
from ok_ml.ranked_lists.fits import EVAL, commit_fits, commit_retrieval, retrieval_of
from ok_ml.ranked_lists.online_metrics import ServedDay, window_from
from ok_ml.recommender.inference.scoring import ScoringJob, score_part
from ok_ml.release.gate.promoting import champion_bundle, promote
from ok_ml.stages.training import SIMPLE_LIST
from tests.pipelines.tiny_pipeline import Registry, no_session, print_nothing, train

WEEK, BOUND, METRIC = 7, 0.02, "ndcg@10"


@dataclass(frozen=True)
class Week:
    """ndcg@10 over the days that an evaluation counts: float64 [users who found something new] a day.

    Attributes
    ----------
    users
        int64, whose.
    judged
        What the evaluation says of the champion.
    served
        What the online metrics say of the lists that were served.
    frozen
        The same of lists by what was fitted on the day of the training: vectors, neighbours, popularity, activity.
    """

    users: list = field(default_factory=list)
    judged: list = field(default_factory=list)
    served: list = field(default_factory=list)
    frozen: list = field(default_factory=list)

    def ratio(self, one, other):
        """Of the means of two of them over the days."""
        return np.mean([day.mean() for day in one]) / np.mean([day.mean() for day in other])


def replayed(lab, past, ages=range(WEEK)):
    """Train after `past` days, serve days of the next week from what was there the evening before, then evaluate their cuts.

    Parameters
    ----------
    ages
        Which days of the week are served: days between the training and their cut.
    """
    pipeline, registry, week = lab.pipeline, Registry(), Week()
    evaluated = pipeline.config.stages.evaluation.days
    days = [lab.world.date_of(number) for number in range(past + WEEK + evaluated - 1)]
    trained = past - 1
    lab.live(days[:past])
    lab.build_features([dt for run in pipeline.feature_runs() for dt in run])
    train(pipeline, registry)
    assert SIMPLE_LIST not in promote(pipeline, registry, registry.register, dagster_run_id="a-run").details
    made = {}
    for age in range(WEEK):
        if age in ages:
            cut = days[trained + age]
            lab.build_features([cut])
            commit_retrieval(pipeline, no_session, progress=print_nothing)
            made[age] = lists(pipeline, cut, cut), lists(pipeline, cut, days[trained])
        lab.live([days[past + age]])
    lab.live(days[past + WEEK :])
    for age, (served, frozen) in made.items():
        later = replace(pipeline, upto=days[trained + age + evaluated])
        users, judged = evaluation(later)
        week.judged.append(judged)
        week.served.append(online(later, served, users))
        week.frozen.append(online(later, frozen, users))
        week.users.append(users)
    return week


def lists(pipeline, cut, fitted):
    """What the champion serves after a day, with what was fitted for this or an earlier one: users and sources by part."""
    bundle, retrieval = champion_bundle(pipeline)[0], retrieval_of(pipeline, fitted)
    job = ScoringJob(str(bundle), str(retrieval), str(pipeline.lake.root), DATASET, EXPERIMENT, cut)
    return [padded(score_part(job, part), c.SOURCE_IDS, EMPTY) for part in range(pipeline.dataset.parts)]


def evaluation(later):
    """Users and their ndcg@10, as a training on its newest day would judge the champion."""
    commit_fits(later, {EVAL: later.calendar().eval_cut}, no_session, print_nothing)
    evaluator = later.evaluator()
    metric, values = evaluator.by_case(evaluator.champion(later.lake.manifest(EXPERIMENT, c.CHAMPION)))
    assert metric == METRIC
    return evaluator.users, values


def online(later, made, expected):
    """The users' ndcg@10 by the online metrics of the first of the days that are judged."""
    plan = later.calendar()
    following = window_from(later, plan.eval_dts[0])
    day = ServedDay.load(later.lake, later.dataset, following[0], plan.eval_cut, (10,), following)
    values = [day.part(part, *mine).metrics[f"{METRIC}/{len(following)}d"] for part, mine in enumerate(made)]
    users, values = np.concatenate([ids for ids, _ in made]), np.concatenate(values)
    found = np.flatnonzero(np.isfinite(values))
    found = found[np.argsort(users[found])]
    assert np.array_equal(users[found], expected)
    return values[found]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Users, sources and seed of a world, and what is smaller in its experiment than it is shipped -> its lab."""
    monkeypatch.setenv("OK_ML_STATE", "")  # a lab names its own, which is taken back after the test

    def made(users, sources, seed, smaller=None):
        world = {"users": users, "sources": sources, "seed": seed}
        deployment = Deployment(tmp_path / "network", first_port=29980, world=world, experiment=smaller)
        return Lab(deployment, tmp_path / "state")

    return made


def judge(week):
    """Served as judged, for each user and over the week; what is as old as the training is outside the bound.

    10,000 users on days 0 to 6: the paired difference between frozen and served has a standard error of 0.5 % of ndcg@10,
    counted by users, whose days belong together. So 2 % is four of them.
    """
    differ = np.concatenate(week.served) != np.concatenate(week.judged)
    assert differ.mean() < 0.01
    assert week.ratio(week.served, week.judged) == pytest.approx(1, abs=BOUND)
    assert week.ratio(week.frozen, week.judged) < 1 - BOUND


def test_a_small_network_is_served_as_it_is_judged(lab):
    smaller = {"stages.embeddings.factors": 16, "stages.model.num_trees": 30, "stages.evaluation.bootstrap": 100}
    judge(replayed(lab(1000, 300, 30, smaller), past=14, ages=(0, 6)))


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [31, 32, 33])
def test_a_network_is_served_as_it_is_judged(lab, seed):
    judge(replayed(lab(10_000, 2_500, seed), past=28))
