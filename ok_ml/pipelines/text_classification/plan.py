"""The days of a text_classification, and which texts learn, hold out and judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import TextsConfig
from ok_ml.errors import DataError
from ok_ml.hashing import mix64
from ok_ml.partitions import TrainingCalendar, window
from ok_ml.pipelines.text_classification.settings import Experiment
from ok_ml.stages.blocked_days import blocked_features
from ok_ml.stages.pipeline import Pipeline
from ok_ml.texts.text_features import TEXT_FEATURES

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ok_ml.features.declared.feature import Feature

PRIOR: Final = "prior"  # the baseline that guesses by frequency
_HELD, _JUDGED = 1, 2  # salts of the two splits by hash


@dataclass(frozen=True)
class Labelled:
    """Texts with labels.

    Attributes
    ----------
    keys
        int64 [texts]: equal for texts that differ in case and blanks alone, so that no text stands on two sides.
    """

    ids: "NDArray[np.int64]"
    texts: list[str]
    labels: list[str]
    keys: "NDArray[np.int64]"

    def where(self, mask: "NDArray[np.bool_]") -> "Labelled":
        """Some of them."""
        at = np.flatnonzero(mask).tolist()
        return Labelled(self.ids[mask], [self.texts[i] for i in at], [self.labels[i] for i in at], self.keys[mask])


@dataclass(frozen=True)
class LabelPlan(Pipeline):
    """One experiment of this type, as its own steps see it."""

    challenger = "model"
    floor = PRIOR
    peers = (PRIOR, "naive_bayes", "oracle")
    feature_tables = (c.TEXT_FEATURES,)

    @cached_property
    def config(self) -> Experiment:
        """The experiment's YAML."""
        experiment = self.project.experiments[self.name]
        assert isinstance(experiment, Experiment)  # noqa: S101 - its type has chosen the model
        return experiment

    @cached_property
    def dataset(self) -> TextsConfig:
        """The texts that it reads."""
        config = self.project.dataset_of(self.name)
        assert isinstance(config, TextsConfig)  # noqa: S101 - the rules of the configuration have asked
        return config

    @property
    def features(self) -> "tuple[Feature, ...]":
        """What is watched of the texts."""
        return TEXT_FEATURES

    # -- days ----------------------------------------------------------------------------------------------

    def calendar(self, upto: str | None = None) -> TrainingCalendar:
        """The newest days judge; where there are too few days, all texts are of one body and a share of them judges.

        Raises
        ------
        DataError
            There is no day.
        """
        dts = [dt for dt in self.committed() if upto is None or dt <= upto]
        odd = blocked_features(self.lake, self.name, dts[:-1])
        learnt = [dt for dt in dts if dt not in odd]
        if not learnt:
            raise DataError(f"{self.dataset_scope} has no day of texts", why="there is nothing to learn from")
        days = self.config.stages.evaluation.days
        if len(learnt) < 2 * days + 1:
            return TrainingCalendar((), tuple(learnt), learnt[-1], learnt[-1])
        return TrainingCalendar((), tuple(learnt[-days:]), learnt[-days - 1], learnt[-1])

    @property
    def is_one_body(self) -> bool:
        """Whether the texts that judge are a share of all, not the newest ones."""
        plan = self.calendar()
        return plan.eval_cut == plan.serve_cut

    def learnt_dts(self, cut: str) -> list[str]:
        """Partitions of texts that a model of a cut learns from."""
        return window(self.committed(), cut, self.config.datasets.texts.window_days)

    def feature_runs(self) -> list[list[str]]:
        """All days in the window of the newest model, in one run."""
        return [self.learnt_dts(self.calendar().serve_cut)]

    def trained_dts(self) -> list[str]:
        """Days whose features the reference of a model is made of."""
        return self.learnt_dts(self.calendar().serve_cut)

    def scored_dts(self) -> list[str]:
        """Partitions whose texts are scored."""
        days, known = self.config.stages.predictions.days, self.learnt_dts(self.calendar().serve_cut)
        return known[-days:] if days is not None else known

    # -- texts ---------------------------------------------------------------------------------------------

    def texts_of(self, dts: Sequence[str]) -> "pa.Table":
        """The texts of some days; of an id that comes twice the newest one."""
        import pyarrow as pa

        rows = self.lake.read(self.dataset_scope, c.TEXTS, list(dts))
        ids = rows[c.TEXT_ID].to_numpy()
        order = np.lexsort((np.arange(len(ids)), ids))
        last = np.append(ids[order][1:] != ids[order][:-1], np.ones(min(len(ids), 1), bool))
        return rows.take(pa.array(np.sort(order[last])))

    def labelled(self, dts: Sequence[str]) -> Labelled:
        """Those of some days that have a label; of texts that are spelt alike one."""
        import pyarrow.compute as pc

        from ok_ml.datasets.texts import id_of_text

        rows = self.texts_of(dts)
        rows = rows.filter(pc.is_valid(rows[c.LABEL]))
        texts = rows[c.TEXT].to_pylist()
        keys = np.fromiter((id_of_text(text) for text in texts), np.int64, len(texts))
        rows_of_days = Labelled(rows[c.TEXT_ID].to_numpy(), texts, rows[c.LABEL].to_pylist(), keys)
        _, first = np.unique(keys, return_index=True)
        return rows_of_days.where(np.isin(np.arange(len(keys)), first))

    def learning(self, cut: str, *, judged: bool) -> Labelled:
        """What a model of a cut learns from.

        Parameters
        ----------
        judged
            Whether the model will be judged: then it sees none of the texts that judge.
        """
        labelled = self.labelled(self.learnt_dts(cut))
        if judged and self.is_one_body:
            return labelled.where(~self._judges(labelled))
        return labelled

    def judging(self) -> Labelled:
        """The texts that judge: none of them is spelt as one that the judged model has learnt from."""
        plan = self.calendar()
        labelled = self.labelled(plan.eval_dts)
        if self.is_one_body:
            return labelled.where(self._judges(labelled))
        return labelled.where(~np.isin(labelled.keys, self.labelled(self.learnt_dts(plan.eval_cut)).keys))

    def held_out(self, learning: Labelled) -> "NDArray[np.bool_]":
        """Those that calibrate and decide."""
        return _share(learning.keys, self.config.stages.model.held_out, self.config.seed, _HELD)

    def _judges(self, labelled: Labelled) -> "NDArray[np.bool_]":
        return _share(labelled.keys, self.config.stages.evaluation.share, self.config.seed, _JUDGED)


def _share(keys: "NDArray[np.int64]", share: float, seed: int, salt: int) -> "NDArray[np.bool_]":
    """A share of some keys, always the same ones."""
    mixed = mix64(keys.view(np.uint64) ^ np.uint64(((seed << 8) + salt) & 0xFFFFFFFFFFFFFFFF))
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share)
