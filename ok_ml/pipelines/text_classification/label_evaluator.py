"""How models of labels are compared: all score the same labelled texts, which none of them has learnt from."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.pipelines.text_classification.plan import PRIOR, Labelled, LabelPlan
from ok_ml.pipelines.text_classification.training import EVAL, SERVE, fit
from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport
from ok_ml.stages.evaluation import CHAMPION_NAME
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.plot_files import plot_path
from ok_ml.texts.label_metrics import LabelAnswers, LabelQuestion, judge_labels
from ok_ml.texts.label_scorer import LabelScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAIVE_BAYES: Final = "naive_bayes"
ORACLE: Final = "oracle"
_MOST_RESAMPLES: Final = 200  # areas are drawn again with every text sorted: a fifth of what lists can afford


class LabelEvaluator(Evaluator[LabelAnswers]):
    """Answers are probabilities and decisions for every text that judges."""

    floor = PRIOR

    def __init__(self, pipeline: LabelPlan) -> None:
        self.pipeline, self.challenger = pipeline, pipeline.challenger

    @cached_property
    def _scorer(self) -> LabelScorer:
        """The newest model as it is judged."""
        folder = self.pipeline.lake.folder(self.pipeline.lake.manifest(self.pipeline.name, c.MODEL))
        return LabelScorer.load(folder / EVAL)

    @cached_property
    def judging(self) -> Labelled:
        """Texts with a label that the newest model knows."""
        labelled = self.pipeline.judging()
        return labelled.where(np.array([label in self._scorer.labels for label in labelled.labels], bool))

    @cached_property
    def question(self) -> LabelQuestion:
        """Their labels."""
        labels, positive = self._scorer.labels, self.pipeline.config.stages.model.positive
        place = {label: number for number, label in enumerate(labels)}
        codes = np.array([place[label] for label in self.judging.labels], np.int64)
        return LabelQuestion(labels, codes, place.get(positive) if positive is not None else None)

    @property
    def cases(self) -> int:
        """Texts."""
        return len(self.judging.texts)

    @property
    def about(self) -> str:
        """How many texts, and which days."""
        return f"{self.cases:,} labelled texts of {self.pipeline.evaluated_days()} that no model has seen"

    @property
    def nothing(self) -> str:
        """What is said where there is no text."""
        return f"no text of {self.pipeline.evaluated_days()} has a label that the model knows and was not learnt from"

    # -- answers ---------------------------------------------------------------------------------------------

    def newest(self) -> LabelAnswers:
        """What the newest model says."""
        return self._said_by(self._scorer)

    def newest_of(self, other: Evaluator[LabelAnswers]) -> LabelAnswers | None:
        """What the newest model of other settings says of the same texts; None where it does not know their labels."""
        return self._known_by(other._scorer) if isinstance(other, LabelEvaluator) else None

    def champion(self, manifest: Manifest) -> LabelAnswers | None:
        """The champion's serving model where it has not seen the days, else the bundle that was evaluated; None where both have."""
        folder, plan = self.pipeline.lake.folder(manifest), self.pipeline.calendar()
        judged = self.pipeline.lake.find(self.pipeline.name, c.MODEL)
        same = judged is not None and judged.data_version == manifest.data_version
        if not self.pipeline.is_one_body and str(manifest.details["serve_cut"]) <= plan.eval_cut:
            scorer = LabelScorer.load(folder / SERVE)
        elif same or self.pipeline.is_one_body or str(manifest.details.get("eval_cut", "9")) <= plan.eval_cut:
            scorer = LabelScorer.load(folder / EVAL)
        else:
            return None
        return self._known_by(scorer)

    def baselines(self) -> "Iterator[tuple[str, LabelAnswers]]":
        """Guesses by frequency, naive Bayes, and the planted truth of a simulated network."""
        yield PRIOR, self.floor_answers()
        learning = self.pipeline.learning(self.pipeline.calendar().eval_cut, judged=True)
        yield NAIVE_BAYES, self._said_by(fit(self.pipeline, learning, NAIVE_BAYES))
        if self.pipeline.dataset.world is not None:
            yield ORACLE, self._oracle()

    def floor_answers(self) -> LabelAnswers:
        """Every text has the frequencies of the labels among those that were learnt from."""
        learning = self.pipeline.learning(self.pipeline.calendar().eval_cut, judged=True)
        counts = np.array([learning.labels.count(label) for label in self.question.labels], np.float64)
        shares = (counts / max(counts.sum(), 1.0)).astype(np.float32)
        probabilities = np.tile(shares, (self.cases, 1))
        best = int(shares.argmax()) if len(shares) else -1
        return LabelAnswers(probabilities, np.full(self.cases, best, np.int8))

    def _known_by(self, scorer: LabelScorer) -> LabelAnswers | None:
        return self._said_by(scorer) if set(scorer.labels) >= set(self.question.labels) else None

    def _said_by(self, scorer: LabelScorer) -> LabelAnswers:
        probabilities = scorer.probabilities(self.judging.texts)
        decided = scorer.decide(probabilities)
        order = [scorer.labels.index(label) for label in self.question.labels]
        place = np.full(len(scorer.labels) + 1, -1, np.int8)
        place[order] = np.arange(len(order))
        return LabelAnswers(probabilities[:, order], place[decided])

    def _oracle(self) -> LabelAnswers:
        """The true topics: what separates them from the labels is what moderators got wrong."""
        from ok_ml.world.log.posts import TRUTH

        plan = self.pipeline.calendar()
        rows = self.pipeline.lake.read(self.pipeline.dataset_scope, TRUTH, list(plan.eval_dts))
        truth = dict(zip(rows["postId"].to_pylist(), rows["topic"].to_pylist(), strict=True))
        labels = self.question.labels
        place = {label: number for number, label in enumerate(labels)}
        codes = np.array([place.get(truth.get(one, ""), -1) for one in self.judging.ids.tolist()], np.int64)
        probabilities = np.full((self.cases, len(labels)), 1e-6, np.float32)
        known = np.flatnonzero(codes >= 0)
        probabilities[known, codes[known]] = 1.0
        return LabelAnswers(probabilities, codes.astype(np.int8))

    # -- the judgement ---------------------------------------------------------------------------------------

    def pairs(self, models: Sequence[str]) -> list[tuple[str, str]]:
        """The newest model with every other but the truth."""
        return [(self.challenger, name) for name in (CHAMPION_NAME, NAIVE_BAYES, PRIOR) if name in models]

    def report(self, answers: dict[str, LabelAnswers], pairs: Sequence[tuple[str, str]]) -> EvaluationReport:
        """Metrics on the same draws of texts."""
        resamples = min(self.pipeline.config.stages.evaluation.bootstrap, _MOST_RESAMPLES)
        return judge_labels(self.question, answers, pairs, resamples=resamples, seed=self.pipeline.config.seed)

    def by_case(self, answers: LabelAnswers) -> "tuple[str, NDArray[np.float64]]":
        """An area belongs to no single text; whether the likeliest label is right does."""
        right = answers.probabilities.argmax(axis=1) == self.question.codes
        return "accuracy", right.astype(np.float64)

    def plots(self, report: EvaluationReport) -> dict[str, Path]:
        """Precision against recall, calibration, and each label's own area."""
        from ok_ml.texts.label_plots import label_pictures

        return label_pictures(
            self.question, self.newest(), report, self.challenger, lambda name: plot_path(self.pipeline, name)
        )
