"""Batch inference: a champion's bundle, what was fitted for a day, and the predictions of one part."""

import json
import shutil
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.config.models import PredictionsStage
from ok_ml.lake import Lake
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.inference.exploration import explore
from ok_ml.recommender.ranking.calibration import Calibration
from ok_ml.recommender.ranking.gather import CROSS_FEATURES, FeatureLayout
from ok_ml.recommender.ranking.rank_blocks import RankedLists, rank_block
from ok_ml.recommender.ranking.ranker import Ranker
from ok_ml.recommender.ranking.ranking_context import Cut, CutPart, Tables
from ok_ml.recommender.retrieval.fitted import Fitted, RetrievalRecipe

PREDICTIONS_SCHEMA: Final = pa.schema([
    pa.field(c.USER_ID, pa.int64(), nullable=False),
    pa.field(c.PART, pa.int32(), nullable=False),
    pa.field(c.SOURCE_IDS, pa.list_(pa.int64()), nullable=False),
    pa.field(c.SCORES, pa.list_(pa.float32()), nullable=False),
    pa.field(c.REASONS, pa.list_(pa.int8()), nullable=False),
    pa.field(c.IS_FALLBACK, pa.bool_(), nullable=False),
    pa.field(c.PROPENSITIES, pa.list_(pa.float32()), nullable=False),
])  # fmt: skip
_RANKER, _LAYOUT, _PARAMS = "ranker", "layout.json", "params.json"


@dataclass(frozen=True)
class ScoringBundle:
    """What a champion is: how candidates are fitted and ordered. What was fitted, features and snapshots are of a day.

    Attributes
    ----------
    stage
        How many candidates are weighed, how many are served, and how alike the first ones may be.
    calibration
        What makes probabilities of the ranker's scores; None: they only order a list.
    """

    ranker: Ranker
    layout: FeatureLayout
    stage: PredictionsStage
    recipe: RetrievalRecipe
    calibration: Calibration | None = None

    @property
    def scores_are(self) -> str:
        """PROBABILITY or ORDER of columns."""
        return c.ORDER if self.calibration is None else c.PROBABILITY

    @classmethod
    def load(cls, folder: Path, *, expected_sha256: str | None = None) -> "ScoringBundle":
        """Read the files of `save`; the ranker is verified before it is parsed.

        Raises
        ------
        IntegrityError, ModelError
            As `Ranker.load`; and when the layout's features are not the ranker's.
        """
        layout = load_layout(folder / _LAYOUT)
        ranker = Ranker.load(folder / _RANKER, expected_sha256=expected_sha256)
        ranker.require_features(layout.feature_order())
        stage = PredictionsStage(**json.loads((folder / _PARAMS).read_text()))
        return cls(ranker, layout, stage, RetrievalRecipe.load(folder), Calibration.find(folder))

    def save(self, folder: Path, sample: NDArray[np.float32]) -> None:
        """Write the bundle into `folder`, in place of another one.

        Parameters
        ----------
        sample
            Rows of features, float32 [rows, features], whose predictions are recorded.
        """
        self.ranker.require_features(self.layout.feature_order())
        shutil.rmtree(folder / _RANKER, ignore_errors=True)
        self.ranker.save(folder / _RANKER, sample)
        save_layout(folder / _LAYOUT, self.layout)
        (folder / _PARAMS).write_text(json.dumps(self.stage.model_dump(mode="json")))
        self.recipe.save(folder)
        Calibration.remove(folder)
        if self.calibration is not None:
            self.calibration.save(folder)


def save_layout(path: Path, layout: FeatureLayout) -> None:
    """Write a layout as JSON."""
    path.write_text(json.dumps({**asdict(layout), "absent": dict(layout.absent)}, indent=1) + "\n")


def load_layout(path: Path) -> FeatureLayout:
    """Read the file of `save_layout`."""
    raw = json.loads(path.read_text())
    cross = tuple(raw.get("cross", CROSS_FEATURES))  # a layout from before the neighbours does not name them
    return FeatureLayout(tuple(raw["user"]), tuple(raw["source"]), tuple(raw["pair"]), raw["absent"], cross)


@dataclass(frozen=True)
class ScoringJob:
    """Whose lists are made, by what and as of which day. A Spark task is given it, so it holds plain values.

    Attributes
    ----------
    bundle, fitted
        Folders of a `ScoringBundle` and of a `Fitted`.
    exploration
        Share of the places that explore: see `ok_ml.recommender.inference.exploration`.
    """

    bundle: str
    fitted: str
    lake_root: str
    dataset_scope: str
    scope: str
    dt: str
    exploration: float = 0.0

    @property
    def tables(self) -> Tables:
        """What is read of the day."""
        return Tables(Lake(self.lake_root), self.dataset_scope, self.scope)

    def versions(self) -> tuple[str, ...]:
        """Changes whenever other bytes would be loaded."""
        folders, tables = (Path(self.bundle), Path(self.fitted)), self.tables
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        stamps = [f"{path.name} {path.stat().st_mtime_ns}" for path in files]
        shared = (
            (self.dataset_scope, c.SOURCES),
            (self.dataset_scope, c.SUBSCRIPTIONS),
            (self.scope, c.SOURCE_FEATURES),
        )
        manifests = (tables.lake.find(scope, table, self.dt) for scope, table in shared)
        return (*stamps, *(manifest.version for manifest in manifests if manifest is not None))


def score_part(job: ScoringJob, part: int) -> pa.Table:
    """Predictions of every user of one part, ordered by user.

    What the parts share is loaded once a process, and again when the bundle or a table of the day has another version:
    Spark's workers outlive a job.

    Returns
    -------
    Table of PREDICTIONS_SCHEMA: one row for every user of the snapshot; lists are shorter than `top_n` only if the
    user is subscribed to nearly everything.
    """
    bundle, cut = _shared(job, job.versions())
    return score_cut_part(cut.part(part), bundle.ranker, bundle.stage, bundle.calibration, job.exploration)


def score_cut_part(
    part: CutPart,
    ranker: Ranker,
    stage: PredictionsStage,
    calibration: Calibration | None = None,
    exploration: float = 0.0,
) -> pa.Table:
    """The same of a loaded part, block by block, so that memory does not grow with the users."""
    everybody, salt = np.arange(len(part.users.user_ids)), f"{part.cut.tables.scope} {part.cut.dt}"
    tables = list[pa.Table]()
    for block in part.blocks(everybody):
        lists = rank_block(part, block, ranker, stage)
        if calibration is not None:
            lists = calibration.calibrated(lists, part.relative_met(block))
        propensities = np.ones(lists.sources.shape, np.float32)
        if exploration > 0:
            pool = lists.pool or part.cut.index.candidates(block, stage.candidates)
            propensities = explore(lists, pool, block.user_ids, exploration, salt)
        tables.append(predictions_table(part, block.user_ids, lists, propensities))
    return pa.concat_tables(tables) if tables else PREDICTIONS_SCHEMA.empty_table()


@lru_cache(maxsize=1)
def _shared(job: ScoringJob, _versions: tuple[str, ...]) -> tuple[ScoringBundle, Cut]:
    bundle, fitted = ScoringBundle.load(Path(job.bundle)), Fitted.load(Path(job.fitted))
    return bundle, Cut.load(job.tables, job.dt, fitted=fitted, layout=bundle.layout)


def predictions_table(
    part: CutPart, user_ids: NDArray[np.int64], lists: RankedLists, propensities: NDArray[np.float32]
) -> pa.Table:
    """Lists of some users as a table of PREDICTIONS_SCHEMA."""
    kept = lists.sources != UNKNOWN
    offsets = pa.array(np.concatenate(([0], np.cumsum(kept.sum(axis=1)))).astype(np.int32))

    def as_lists(values: NDArray[Any]) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(values))

    arrays = [
        pa.array(user_ids),
        pa.array(np.full(len(user_ids), part.part, np.int32)),
        as_lists(part.cut.index.catalogue.source_ids[lists.sources[kept]]),
        as_lists(lists.scores[kept].astype(np.float32)),
        as_lists(lists.reasons[kept]),
        pa.array(lists.is_fallback),
        as_lists(propensities[kept]),
    ]
    return pa.Table.from_arrays(arrays, schema=PREDICTIONS_SCHEMA)
