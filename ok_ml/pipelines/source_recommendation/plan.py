"""The days of a source_recommendation, and its ranker's features."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ok_ml import columns as c
from ok_ml.config.models import NeighboursStage
from ok_ml.partitions import TrainingCalendar, before, training_calendar, window
from ok_ml.pipelines.source_recommendation.settings import Experiment
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.ranking.user_lists import TWO_STAGE
from ok_ml.stages.blocked_days import blocked_features

if TYPE_CHECKING:
    from ok_ml.features.declared.feature import Feature
    from ok_ml.recommender.ranking.gather import FeatureLayout


@dataclass(frozen=True)
class RankingPlan(ListPipeline):
    """One experiment of this type, as its own steps see it."""

    challenger = TWO_STAGE
    feature_tables = c.FEATURE_TABLES
    evaluated_with = frozenset({*c.FEATURE_TABLES, c.EMBEDDINGS})

    @cached_property
    def config(self) -> Experiment:
        """The experiment's YAML."""
        experiment = self.project.experiments[self.name]
        assert isinstance(experiment, Experiment)  # noqa: S101 - its type has chosen the model
        return experiment

    @property
    def popularity_half_life_days(self) -> float:
        """A third of the window of the sources' features."""
        return self.config.stages.features.popularity_days / 3

    @property
    def activity_half_life_days(self) -> float:
        """Half the window of the pairs' features."""
        return self.config.stages.features.affinity_days / 2

    @property
    def neighbours_stage(self) -> NeighboursStage:
        """As the YAML has them."""
        return self.config.stages.neighbours

    @property
    def simple_lists(self) -> tuple[str, ...]:
        """Those whose column is among the ranker's features."""
        from ok_ml.recommender.ranking.column_ranker import lists_of

        return tuple(lists_of(self.layout().feature_order()))

    def layout(self) -> "FeatureLayout":
        """The features of the ranker, in order, and what stands where there is no row."""
        from ok_ml.features.declared.registry import absent_values, feature_names
        from ok_ml.recommender.ranking.gather import FeatureLayout, cross_features

        known = self.features
        user, source, pair = (feature_names(entity, known) for entity in ("user", "source", "pair"))
        cross = cross_features(self.config.stages.neighbours.models)
        return FeatureLayout(user, source, pair, absent_values(known), cross)

    @property
    def features(self) -> "tuple[Feature, ...]":
        """The features of this experiment: those that are shipped, and those of the project that its YAML names."""
        from ok_ml.features.declared.extra import features_of_stage

        return features_of_stage(self.config.stages.features, self.project.root)

    # -- days ----------------------------------------------------------------------------------------------

    def calendar(self, upto: str | None = None) -> TrainingCalendar:
        """Which days train, which evaluate, which serve, as of the newest committed partition (or `upto`).

        Nothing is learnt from a day whose own features block, unless it is the newest one, which is still to be judged.
        """
        dts = [dt for dt in self.committed() if upto is None or dt <= upto]
        odd = blocked_features(self.lake, self.name, dts[:-1])
        stages = self.config.stages
        training_set = stages.training_set
        learnt = [dt for dt in dts if dt not in odd]
        return training_calendar(learnt, training_set.label_days, stages.evaluation.days, training_set.windows)

    def labelled_lists(self) -> list[tuple[str, tuple[str, ...]]]:
        """Day of features, and the partitions whose events label its lists: what a training row is of."""
        plan, dts = self.calendar(), self.committed()
        dts = [dt for dt in dts if dt not in blocked_features(self.lake, self.name, dts[:-1])]
        if self.config.stages.training_set.labels == "window":
            return [(one.cut, one.label_dts) for one in plan.windows]
        return [(before(dts, dt), (dt,)) for dt in plan.label_dts]

    def feature_runs(self) -> list[list[str]]:
        """Runs of consecutive partitions whose features a training and a batch need, as of now.

        An experiment that the daemon retrains gets them without gaps, so that tomorrow's training finds yesterday's
        features; a manual one skips the days whose features are not read.
        """
        dts, plan, blocked = self.admitted(), self.calendar(), self.blocked()
        needed = {*(dt for dt, _ in self.labelled_lists()), plan.eval_cut, plan.serve_cut}
        if self.config.release.cycle == "automatic":
            needed |= {dt for dt in dts if dt >= min(needed) and dt not in blocked}
        runs: list[list[str]] = []
        for number, dt in enumerate(dts):
            if dt in needed:
                follows = bool(runs) and runs[-1][-1] == dts[number - 1]
                runs[-1].append(dt) if follows else runs.append([dt])
        return runs

    def feature_dts(self, dt: str) -> list[str]:
        """Partitions of events that the features of a day read."""
        return window(self.committed(), dt, self.config.feature_days)

    def trained_dts(self) -> list[str]:
        """Days whose features a training and an evaluation read."""
        return sorted({*(dt for dt, _ in self.labelled_lists()), self.calendar().eval_cut})
