"""A ranker of lists in its bundle, as the registry and the gate take it; and the best simple list in its place."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml.config.models import PredictionsStage
from ok_ml.stages.training import Metrics, SimpleModel, Trained

if TYPE_CHECKING:
    from ok_ml.recommender.ranking.ranker import TrainedRanker

_RANKER: Final = "ranker"  # its folder in a bundle


def as_trained(
    folder: Path, ranker: "TrainedRanker", metrics: dict[str, float], plots: dict[str, Path] | None = None
) -> Trained:
    """A ranker in its bundle, as the registry takes it."""
    from ok_ml.recommender.ranking.ranker import MODEL_FILE, Ranker

    file = model_file(folder)
    return Trained(
        folder,
        file,
        ranker.ranker,
        ranker.sample,
        ranker.params,
        metrics,
        ranker.curve,
        plots or {},
        ranker.log,
        None if file.name == MODEL_FILE else Ranker.load,
    )


def model_file(bundle: Path) -> Path:
    """The ranker's model inside a bundle: LightGBM's text, or the bytes of another ranker."""
    from ok_ml.recommender.ranking.ranker import ANY_MODEL_FILE, MODEL_FILE

    own = bundle / _RANKER / MODEL_FILE
    return own if own.exists() else own.with_name(ANY_MODEL_FILE)


def best_list(names: Sequence[str], metric: str, metrics: Metrics, nothing: Callable[[], str]) -> SimpleModel:
    """The simple list with the best value of a metric; of equal ones the first in order.

    Parameters
    ----------
    metrics
        List -> its metrics on the users of the evaluation.
    nothing
        What is said where there was no user; then the order decides alone.
    """
    values = {name: metrics(name).get(metric, math.nan) for name in names}
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        return SimpleModel(names[0], {}, f"{nothing()}, so it is the first of {', '.join(names)}")
    best = max(known, key=lambda name: known[name])
    others = ", ".join(f"{name} {value:.4f}" for name, value in known.items() if name != best)
    return SimpleModel(best, metrics(best), f"{metric} {known[best]:.4f}, no other simple list is better ({others})")


def undiversified(stage: PredictionsStage) -> PredictionsStage:
    """How simple lists are judged, and served in place of a model: ordered by score alone."""
    return stage.model_copy(update={"diversity": 0.0})


def put_in_place(bundle: Path, chosen: SimpleModel) -> Trained:
    """Replace a bundle's ranker by a simple list, as it was judged: with its layout, not diverse, its scores no probabilities."""
    from ok_ml.recommender.inference.scoring import ScoringBundle
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker, layout_of

    trained = ColumnRanker.of(chosen.name)
    present = ScoringBundle.load(bundle)
    stage = undiversified(present.stage)
    replace(present, ranker=trained.ranker, layout=layout_of(chosen.name), stage=stage, calibration=None).save(
        bundle, trained.sample
    )
    return as_trained(bundle, trained, {})
