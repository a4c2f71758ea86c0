"""A pipeline type of a project: sources by who comes to them, a truncated SVD of the visits."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from ok_ml import columns as c
from ok_ml.config.models import ListExperiment, ListStages
from ok_ml.lake import WHOLE, tree_fingerprint
from ok_ml.partitions import training_calendar
from ok_ml.ranked_lists.bundles import as_trained
from ok_ml.ranked_lists.fits import activity, popularity
from ok_ml.ranked_lists.kind import RANKED_LISTS
from ok_ml.ranked_lists.list_evaluator import ListEvaluator
from ok_ml.ranked_lists.list_stages import list_publication, list_statistics, online_metrics
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.inference.scoring import ScoringBundle, score_cut_part
from ok_ml.recommender.ranking.column_ranker import ColumnRanker, layout_of
from ok_ml.recommender.ranking.ranking_context import Cut
from ok_ml.recommender.retrieval.fitted import Fitted, RetrievalRecipe
from ok_ml.recommender.retrieval.neighbours import Neighbours
from ok_ml.recommender.vectors.embeddings import Factors
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.release.records import of_predictions, same, whole
from ok_ml.release.shared_stages import MLFLOW, champion, evaluation, live_predictions
from ok_ml.stages.stage import Grain, Joins, Made, Phase, PipelineType, Read, Stage, Starts, single


class Experiment(ListExperiment):
    stages: ListStages = ListStages()


@dataclass(frozen=True)
class Visits(ListPipeline):
    challenger = "visits"
    type = property(lambda self: TYPE)

    def calendar(self, upto=None):
        days = [dt for dt in self.committed() if upto is None or dt <= upto]
        return training_calendar(days, 1, self.config.stages.evaluation.days, 0)

    def feature_runs(self):
        return []

    def evaluator(self):
        return Judge(self)


def vectors(pipeline, cut):
    rows = pipeline.lake.read(pipeline.dataset_scope, c.EVENTS, pipeline.learnt_dts(cut))
    came = pc.and_(pc.greater(rows[c.SOURCE_ID], 0), pc.not_equal(rows[c.EVENT_TYPE], c.IMPRESSION))
    rows = rows.filter(came)
    (users, user), (sources, source) = (
        np.unique(rows[name].to_numpy(), return_inverse=True) for name in (c.USER_ID, c.SOURCE_ID)
    )
    visits = csr_matrix((np.ones(len(user), np.float32), (user, source)), (len(users), len(sources)))
    left, strength, right = svds(visits.log1p(), k=8, random_state=0)
    return Factors(users, sources, (left * strength).astype(np.float32), np.ascontiguousarray(right.T, np.float32))


def as_of(pipeline, dt):
    recent, all_time = popularity(pipeline, dt, 7), popularity(pipeline, dt, None)
    fitted = Fitted(vectors(pipeline, dt), Neighbours.none(), recent, recent, all_time, activity(pipeline, dt, 7))
    return Cut.load(pipeline.tables, dt, fitted=fitted, layout=layout_of("embeddings"))


class Judge(ListEvaluator):
    @property
    def cut(self):
        return as_of(self.pipeline, self.pipeline.calendar().eval_cut)

    def newest(self):
        return self.simple_list("embeddings")

    def champion(self, manifest):
        return self.newest()  # made of the log alone: the champion of the same day is the same


def model(pipeline, context):
    inputs, cut, trained = pipeline.inputs_of(c.MODEL), pipeline.calendar().serve_cut, ColumnRanker.of("embeddings")
    stages = pipeline.config.stages
    recipe = RetrievalRecipe(stages.embeddings, pipeline.neighbours_stage, 7, 7, 7)
    with context.training() as register, pipeline.lake.staged(pipeline.name, c.MODEL, WHOLE) as folder:
        ScoringBundle(trained.ranker, layout_of("embeddings"), stages.predictions, recipe).save(folder, trained.sample)
        found = register(as_trained(folder, trained, {}))
        said = {"model_version": found.version, "mlflow_run_id": found.mlflow_run_id, "bins": "none", "serve_cut": cut}
        version = tree_fingerprint(folder)
        return Made([pipeline.lake.commit(folder, rows=1, data_version=version, inputs=inputs, details=said)])


def predictions(pipeline, _context):
    (folder, record), dt = champion_bundle(pipeline), pipeline.calendar().serve_cut
    bundle, cut = ScoringBundle.load(folder), as_of(pipeline, dt)
    parts = [score_cut_part(cut.part(part), bundle.ranker, bundle.stage) for part in range(pipeline.dataset.parts)]
    return Made(
        [
            pipeline.lake.write(
                pipeline.name,
                c.PREDICTIONS,
                dt,
                pa.concat_tables(parts),
                sort_by=[c.USER_ID],
                inputs=pipeline.inputs_of(c.PREDICTIONS, dt),
                details={"model_version": record.model_version, "data_dt": dt},
                by_part=True,
            )
        ]
    )


def learnt(pipeline, _partition):
    return pipeline.learnt_dts(pipeline.calendar().serve_cut)


EVENTS, PYTHON = Read((c.EVENTS,), learnt, of_dataset=True), frozenset({"python"})
MODEL = Stage(
    c.MODEL, Phase.TRAINING, Grain.WHOLE, "Who came where.", PYTHON, (EVENTS, Read((c.CONFIG,))), trigger=Starts()
)
EVALUATION = Stage(
    c.EVALUATION, Phase.TRAINING, Grain.WHOLE, "Judged.", PYTHON, (Read((c.MODEL,), whole),), trigger=Joins(c.MODEL)
)
PREDICTIONS = Stage(
    c.PREDICTIONS,
    Phase.SERVING,
    Grain.NEWEST,
    "Ten sources for every user.",
    PYTHON,
    (Read(c.SNAPSHOTS, same, of_dataset=True), Read((c.CHAMPION,))),
    more=of_predictions,
    trigger=Starts(),
)
STEPS = (
    single(MODEL, model, needs=MLFLOW),
    single(EVALUATION, evaluation, needs=MLFLOW),
    champion(),
    single(PREDICTIONS, predictions),
    list_statistics(),
    list_publication(),
    live_predictions(),
    online_metrics(),
)
TYPE = PipelineType("visits", Visits, Experiment, STEPS, RANKED_LISTS)
