"""The scores of the same model's generations before: what those of the newest predictions are compared with."""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import Lake
from ok_ml.monitoring.series.live_history import live_history
from ok_ml.quality.statistics.divergence import psi, psi_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POOLED: Final = 7  # generations that the scores are compared with


class ScoreReference(NamedTuple):
    """Edges frozen from the model's first generation, and pooled counts of the latest ones on them."""

    edges: "NDArray[np.float32] | None"
    counts: "NDArray[np.int64]"

    @classmethod
    def of(cls, lake: Lake, name: str, dt: str, model_version: int) -> "ScoreReference":
        """Only what went live counts: scores that were refused are no reference."""
        live = {one.version for one in live_history(lake, name)}
        known = [lake.manifest(name, c.PREDICTION_STATISTICS, day) for day in _days_before(lake, name, dt)]
        mine = [
            one for one in known if one.details["model_version"] == model_version and one.details["predictions"] in live
        ]
        if not mine or not mine[-1].details["edges"]:
            return cls(None, np.zeros(0, np.int64))
        edges = mine[-1].details["edges"]
        pooled = [one.details["counts"] for one in mine[-_POOLED:] if one.details["edges"] == edges]
        return cls(np.array(edges, np.float32), np.sum(np.array(pooled, np.int64), axis=0))

    def psi(self, counts: "NDArray[np.int64]") -> float | None:
        """PSI beyond what sampling explains; None where one of both is empty."""
        value = psi(counts, self.counts) - psi_noise(counts, self.counts)
        return None if np.isnan(value) else max(value, 0.0)


def _days_before(lake: Lake, name: str, dt: str) -> list[str]:
    return [day for day in lake.partitions(name, c.PREDICTION_STATISTICS) if day < dt]
