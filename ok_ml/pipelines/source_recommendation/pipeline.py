"""The days of a source_recommendation, and its ranker's features."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ok_ml.partitions import TrainingCalendar, before, training_calendar, window
from ok_ml.stages.blocked_days import blocked_features
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import PipelineType

if TYPE_CHECKING:
    from ok_ml.features.feature import Feature
    from ok_ml.recommender.gather import FeatureLayout
    from ok_ml.recommender.ranking_context import Tables


@dataclass(frozen=True)
class SourceRecommendation(Pipeline):
    """One experiment of this type."""

    @property
    def type(self) -> PipelineType[Any]:
        """Its stages, and how they are made."""
        from ok_ml.pipelines.source_recommendation.stages import TYPE

        return TYPE

    @property
    def tables(self) -> "Tables":
        """Where the recommender finds this experiment's tables."""
        from ok_ml.recommender.ranking_context import Tables

        return Tables(self.lake, self.dataset_scope, self.name)

    def layout(self) -> "FeatureLayout":
        """The features of the ranker, in order, and what stands where there is no row."""
        from ok_ml.features.registry import absent_values, feature_names
        from ok_ml.recommender.gather import BLEND_SCORE, CROSS_FEATURES, FeatureLayout, neighbour_features

        known = self.features
        user, source, pair = (feature_names(entity, known) for entity in ("user", "source", "pair"))
        similar = [name for model in self.config.stages.neighbours.models for name in neighbour_features(model)]
        blend = [BLEND_SCORE] if similar else []
        return FeatureLayout(user, source, pair, absent_values(known), (*CROSS_FEATURES, *similar, *blend))

    @property
    def features(self) -> "tuple[Feature, ...]":
        """The features of this experiment: those that are shipped, and those of the project that its YAML names."""
        from ok_ml.features.extra import features_of_stage

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
        features; a manual one skips the days whose features nobody reads.
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
        stage = self.config.stages.features
        return window(self.committed(), dt, max(stage.activity_days, stage.affinity_days, stage.popularity_days))

    def learnt_dts(self, cut: str) -> list[str]:
        """Partitions that the embeddings of a cut learn from."""
        return window(self.committed(), cut, self.config.datasets.events.window_days)

    def popularity_dts(self, cut: str) -> list[str]:
        """Partitions on which popularity is counted."""
        return window(self.committed(), cut, self.config.stages.features.popularity_days)
