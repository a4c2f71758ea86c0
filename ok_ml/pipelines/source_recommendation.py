"""Pipeline type source_recommendation: which tables it has, for which days, and what each is made from.

A table's `inputs` record names the version of everything that went into it: code, configuration, upstream data.
A committed partition with the same record is current; nothing else decides what a run may skip.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from ok_ml import columns as c
from ok_ml.config.extensions import BUILDERS, ENGINES, RANKERS, Kind, source_of
from ok_ml.config.models import DatasetConfig, ExperimentConfig, Project
from ok_ml.datasets.calendar import declared_range
from ok_ml.datasets.times import partition_days
from ok_ml.errors import NotCommitted
from ok_ml.lake import WHOLE, Lake, fingerprint
from ok_ml.partitions import TrainingCalendar, before, training_calendar, window
from ok_ml.pipelines.guard import blocked_features, blocked_log
from ok_ml.pipelines.served import live_before

if TYPE_CHECKING:
    from ok_ml.features.feature import Feature
    from ok_ml.recommender.cut import Tables
    from ok_ml.recommender.gather import FeatureLayout

ATTEMPT_MARK: Final = ".try-"  # between an experiment and its attempt in the name of the attempt's scope
# Fields that came later: unset, they change no record.
_NAMING: Final = {"builder": "candidates", "ranker": "lightgbm", "fallback": "simple"}

# Raise a number when the rows that the code makes from equal inputs change.
CODE_VERSIONS: Final = {
    c.USER_FEATURES: "1", c.SOURCE_FEATURES: "1", c.PAIR_FEATURES: "1", c.USER_TOPICS: "1", c.FEATURE_STATISTICS: "1",
    c.EMBEDDINGS: "2", c.TRAINING_SET: "2", c.MODEL: "2", c.EVALUATION: "2", c.CHAMPION: "1", c.PREDICTIONS: "2",
    c.PUBLICATION: "1", c.LIVE_PREDICTIONS: "1", **dict.fromkeys(c.SERIES_TABLES, "1"),
}  # fmt: skip


@dataclass(frozen=True)
class SourceRecommendation:
    """One experiment of this type.

    Parameters
    ----------
    project
        The whole configuration.
    name
        The experiment, which is also its scope in the lake.
    lake
        Where its tables live.
    upto
        Days after it are not seen: what is committed in the middle of a step must not change its calendar.
    """

    project: Project
    name: str
    lake: Lake
    upto: str | None = None

    @cached_property
    def config(self) -> ExperimentConfig:
        """The experiment's YAML."""
        return self.project.experiments[self.name]

    @cached_property
    def dataset(self) -> DatasetConfig:
        """The dataset that it reads."""
        return self.project.dataset_of(self.name)

    @property
    def dataset_scope(self) -> str:
        """Scope of the dataset's tables."""
        return self.dataset.dataset

    @property
    def tables(self) -> "Tables":
        """Where the recommender finds this experiment's tables."""
        from ok_ml.recommender.cut import Tables

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

    def pinned(self) -> "SourceRecommendation":
        """The same experiment as of now, for one step: days that are committed from here on are not seen."""
        known = self.committed()
        return replace(self, upto=known[-1] if known else None)

    def committed(self) -> list[str]:
        """Partitions that may be learnt from, ascending: committed, admitted by the configuration, and not blocked."""
        blocked = self.blocked()
        return [dt for dt in self._admitted() if dt not in blocked]

    def blocked(self) -> dict[str, str]:
        """Day -> headline, of the days of the log that block: no label, window or reference holds one."""
        return blocked_log(self.lake, self.dataset_scope)

    def newest_blocked(self) -> str | None:
        """The newest day of the log, if it blocks."""
        days = self._admitted()
        return days[-1] if days and days[-1] in self.blocked() else None

    def _admitted(self) -> list[str]:
        first, last = declared_range(self.dataset)
        known = self.lake.partitions(self.dataset_scope, c.EVENTS)
        admitted = [dt for dt in known if first <= partition_days(dt, "day") <= last]
        return admitted if self.upto is None else [dt for dt in admitted if dt <= self.upto]

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
        dts, plan, blocked = self._admitted(), self.calendar(), self.blocked()
        needed = {*(dt for dt, _ in self.labelled_lists()), plan.eval_cut, plan.serve_cut}
        if self.config.release.cycle == "automatic":
            needed |= {dt for dt in dts if dt >= min(needed) and dt not in blocked}
        runs: list[list[str]] = []
        for number, dt in enumerate(dts):
            if dt in needed:
                follows = bool(runs) and runs[-1][-1] == dts[number - 1]
                runs[-1].append(dt) if follows else runs.append([dt])
        return runs

    def interaction_dts(self, cut: str) -> list[str]:
        """Partitions that the embeddings of a cut learn from."""
        return window(self.committed(), cut, self.config.datasets.events.window_days)

    # -- what a table is made from ---------------------------------------------------------------------------

    def feature_inputs(self, dt: str, table: str) -> dict[str, str]:
        """Record of one partition of a feature table."""
        stage = self.config.stages.features
        longest = max(stage.activity_days, stage.affinity_days, stage.popularity_days)
        upstream = {c.EVENTS: window(self.committed(), dt, longest), **{name: [dt] for name in c.SNAPSHOTS}}
        return self._record(table, [stage], {(self.dataset_scope, name): dts for name, dts in upstream.items()},
                            weights=str(sorted(self.dataset.weights.items())), **self._extra_features(table))  # fmt: skip

    def statistics_inputs(self, dt: str) -> dict[str, str]:
        """Record of one partition of feature_statistics: the features and the champion whose bins it uses."""
        found = self.lake.find(self.name, c.CHAMPION)
        tables: dict[tuple[str, str], Iterable[str]] = {(self.name, table): [dt] for table in c.FEATURE_TABLES[:3]}
        return self._record(c.FEATURE_STATISTICS, [], tables, bins=str(found.details["bins"]) if found else "none")

    def embeddings_inputs(self) -> dict[str, str]:
        """Record of the embeddings: every event of every cut's window."""
        plan, stages = self.calendar(), self.config.stages
        cuts = [*(one.cut for one in plan.windows), plan.eval_cut, plan.serve_cut]
        days = sorted({dt for cut in cuts for dt in self.interaction_dts(cut)})
        return self._record(c.EMBEDDINGS, [stages.embeddings, stages.neighbours, self.config.datasets],
                            {(self.dataset_scope, c.EVENTS): days}, cuts=" ".join(cuts), seed=str(self.config.seed),
                            weights=str(sorted(self.dataset.weights.items())),
                            **self._code(ENGINES, self.config.stages.embeddings.engine))  # fmt: skip

    def training_set_inputs(self) -> dict[str, str]:
        """Record of the training set: labels, features of the days before them, embeddings."""
        plan, days = self.calendar(), [dt for dt, _ in self.labelled_lists()]
        upstream: dict[tuple[str, str], Iterable[str]] = {(self.name, table): days for table in c.FEATURE_TABLES}
        upstream |= {(self.name, c.EMBEDDINGS): [WHOLE], (self.dataset_scope, c.EVENTS): plan.label_dts}
        stages = self.config.stages
        return self._record(c.TRAINING_SET, [stages.training_set, stages.predictions], upstream,
                            seed=str(self.config.seed), grades=str(sorted(self.dataset.grades.items())),
                            layout=self._layout_version(), **self._code(BUILDERS, stages.training_set.builder))  # fmt: skip

    def model_inputs(self) -> dict[str, str]:
        """Record of the model: what it learnt from, and what else its bundle holds: vectors, popularity, parameters."""
        plan, stages = self.calendar(), self.config.stages
        popular = window(self.committed(), plan.serve_cut, stages.features.popularity_days)
        upstream: dict[tuple[str, str], Iterable[str]] = {
            (self.name, t): [WHOLE] for t in (c.TRAINING_SET, c.EMBEDDINGS)
        }
        upstream |= {(self.dataset_scope, c.EVENTS): popular, (self.dataset_scope, c.USERS): [plan.serve_cut]}
        return self._record(c.MODEL, [stages.model, stages.predictions, stages.features], upstream,
                            seed=str(self.config.seed), weights=str(sorted(self.dataset.weights.items())),
                            layout=self._layout_version(), **self._code(RANKERS, stages.model.ranker))  # fmt: skip

    def evaluation_inputs(self) -> dict[str, str]:
        """Record of the evaluation: the model, the embeddings and the days that it was never trained on."""
        plan = self.calendar()
        upstream: dict[tuple[str, str], Iterable[str]] = {
            (self.name, table): [plan.eval_cut] for table in c.FEATURE_TABLES
        }
        upstream |= {(self.name, c.MODEL): [WHOLE], (self.name, c.EMBEDDINGS): [WHOLE]}
        upstream |= {(self.dataset_scope, c.EVENTS): plan.eval_dts, (self.dataset_scope, c.USERS): [plan.eval_cut]}
        stages = self.config.stages
        return self._record(c.EVALUATION, [stages.evaluation, stages.predictions], upstream,
                            grades=str(sorted(self.dataset.grades.items())))  # fmt: skip

    def champion_inputs(self) -> dict[str, str]:
        """Record of a promotion decision, and of the person who takes another one."""
        from ok_ml.pipelines.refused_models import accepted_model

        accepted = accepted_model(self)
        by_hand = {"accepted": f"{accepted.who} {accepted.when}"} if accepted is not None else {}
        return self._record(
            c.CHAMPION,
            [self.config.gate],
            {(self.name, c.EVALUATION): [WHOLE], (self.name, c.MODEL): [WHOLE]},
            **by_hand,
        )

    def predictions_inputs(self, dt: str) -> dict[str, str]:
        """Record of one day's predictions."""
        upstream: dict[tuple[str, str], Iterable[str]] = {(self.name, table): [dt] for table in c.FEATURE_TABLES}
        upstream |= {(self.dataset_scope, table): [dt] for table in c.SNAPSHOTS}
        champion = self.lake.manifest(self.name, c.CHAMPION)  # its bundle holds vectors, popularity and parameters
        version = f"{champion.data_version} {champion.details['model_version']}"
        return self._record(c.PREDICTIONS, [], upstream, champion=version)

    def prediction_statistics_inputs(self, dt: str) -> dict[str, str]:
        """Record of the statistics of one day's predictions: what was counted, and the generation before them."""
        upstream: dict[tuple[str, str], Iterable[str]] = {(self.name, c.PREDICTIONS): [dt]}
        upstream |= {(self.dataset_scope, table): [dt] for table in (c.USERS, c.SOURCES, c.SUBSCRIPTIONS)}
        previous = live_before(self.lake, self.name, self.lake.manifest(self.name, c.PREDICTIONS, dt).version)
        before = f"{previous.data_dt} {previous.version}" if previous is not None else "none"
        return self._record(c.PREDICTION_STATISTICS, [], upstream, before=before)

    def embedding_statistics_inputs(self) -> dict[str, str]:
        """Record of the statistics of the newest fit of the vectors."""
        return self._record(c.EMBEDDING_STATISTICS, [], {(self.name, c.EMBEDDINGS): [WHOLE]})

    def publication_inputs(self, dt: str) -> dict[str, str]:
        """Record of a publication."""
        storage = self.project.environment.storage
        return self._record(c.PUBLICATION, [self.config.delivery],
                            {(self.name, c.PREDICTIONS): [dt], (self.dataset_scope, c.SOURCES): [dt]},
                            storage=f"{storage.backend} {storage.path or storage.url}")  # fmt: skip

    def live_inputs(self) -> dict[str, str]:
        """Record of what went live."""
        return self._record(c.LIVE_PREDICTIONS, [], {(self.name, c.PUBLICATION): [WHOLE]})

    def inputs_of(self, table: str, partition: str) -> dict[str, str]:
        """The record that a partition of any table of this experiment would have now."""
        if table in c.FEATURE_TABLES:
            return self.feature_inputs(partition, table)
        dated = {
            c.FEATURE_STATISTICS: self.statistics_inputs, c.PREDICTIONS: self.predictions_inputs,
            c.PREDICTION_STATISTICS: self.prediction_statistics_inputs,
        }  # fmt: skip
        if table in dated:
            return dated[table](partition)
        if table == c.PUBLICATION:
            return self.publication_inputs(self.lake.latest(self.name, c.PREDICTIONS))
        whole = {
            c.EMBEDDINGS: self.embeddings_inputs, c.TRAINING_SET: self.training_set_inputs, c.MODEL: self.model_inputs,
            c.EVALUATION: self.evaluation_inputs, c.CHAMPION: self.champion_inputs, c.LIVE_PREDICTIONS: self.live_inputs,
            c.EMBEDDING_STATISTICS: self.embedding_statistics_inputs,
        }  # fmt: skip
        return whole[table]()

    def is_current(self, table: str, partition: str = WHOLE) -> bool:
        """Whether a partition is committed and was made from exactly what is there now."""
        try:
            wanted = self.inputs_of(table, partition)
        except NotCommitted:
            return False
        return self.lake.is_current(self.name, table, partition, wanted)

    def _record(
        self, table: str, configs: list[BaseModel], upstream: dict[tuple[str, str], Iterable[str]], **more: str
    ) -> dict[str, str]:
        config = fingerprint({"configs": [_said(config) for config in configs]})
        versions = {
            f"{scope.partition(ATTEMPT_MARK)[0]}/{name}": self._version(scope, name, dts)
            for (scope, name), dts in upstream.items()
        }
        return {"code": CODE_VERSIONS[table], "config": config, **versions, **more}

    def _code(self, kind: Kind, named: str) -> dict[str, str]:
        """The hash of the project's own code behind a name; nothing for what is shipped."""
        source = source_of(kind, named, self.project.root)
        return {named: source.sha256} if source is not None else {}

    def _extra_features(self, table: str) -> dict[str, str]:
        """The hashes of the files that declare features of a table."""
        from ok_ml.features.extra import extra_hashes

        entity = table.removesuffix("_features")
        return extra_hashes(self.config.stages.features, self.project.root, entity)

    def _layout_version(self) -> str:
        """The ranker's features in order, and what stands where there is no row, which no stored table says."""
        layout = self.layout()
        return fingerprint({"order": layout.feature_order(), "absent": dict(layout.absent)})

    def _version(self, scope: str, table: str, dts: Iterable[str]) -> str:
        return fingerprint({dt: self.lake.manifest(scope, table, dt).data_version for dt in dts})


def _said(config: BaseModel) -> dict[str, Any]:
    """What a stage's YAML says of the shipped code; code of the project stands in the record by its hash."""
    said = config.model_dump(mode="json", exclude={"extra"})
    unset = {name for name in ("options", *_NAMING) if name in said and getattr(config, name) == _NAMING.get(name, {})}
    return {name: value for name, value in said.items() if name not in unset}
