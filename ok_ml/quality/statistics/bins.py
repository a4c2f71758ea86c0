"""Histogram bins frozen from a reference, so that every later day is counted on the same ones.

Bins of equal mass would put a feature that is mostly zero into one bin and hide what happens to the zeros.
So a value that alone holds as much as a bin gets a bin of its own, and a feature with few distinct values gets
one bin a value. Bins are [e_i, e_i+1), the last one closed; what lies below, above and what is null is counted too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import orjson

from ok_ml.errors import DataError
from ok_ml.quality.statistics.sketch import Counts, Sketch
from ok_ml.quality.statistics.statistics_columns import BIN_EDGES, ENTITY, FEATURE

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

BINS = 20
REFERENCE_FILE = (
    "reference.parquet"  # in a champion's folder: the statistics that drift is judged against, and their bins
)
BINS_FILE = "bins.json"
FeatureKey: TypeAlias = tuple[str, str]  # entity, feature
_VERSION = 1
_LARGEST = np.finfo(np.float32).max  # edges are finite: an infinity lies below or above


@dataclass(frozen=True)
class FrozenBins:
    """Edges of every feature's bins, as the reference gave them.

    Attributes
    ----------
    edges
        (entity, feature) -> strictly ascending edges, each of them a float32; empty if the reference had no value.
    reference_dt
        Newest day of the reference.
    """

    edges: Mapping[FeatureKey, tuple[float, ...]]
    reference_dt: str = ""

    @classmethod
    def from_statistics(cls, statistics: "pa.Table") -> "FrozenBins":
        """The bins that a table of `feature_statistics` was counted on."""
        columns = [statistics[name].to_pylist() for name in (ENTITY, FEATURE, BIN_EDGES)]
        dts = statistics["dt"].to_pylist()
        edges = {(entity, feature): tuple(values) for entity, feature, values in zip(*columns, strict=True)}
        return cls(edges, max(dts, default=""))

    def of(self, entity: str, feature: str) -> "NDArray[np.float32] | None":
        """Edges of one feature as float32 [b + 1], or None for a feature that the reference did not have."""
        edges = self.edges.get((entity, feature))
        return None if edges is None else np.asarray(edges, dtype=np.float32)

    def to_json(self) -> bytes:
        """The bins as JSON, features in alphabetical order: equal bins, equal bytes."""
        rows = [
            {ENTITY: entity, FEATURE: feature, BIN_EDGES: list(self.edges[entity, feature])}
            for entity, feature in sorted(self.edges)
        ]
        document = {"version": _VERSION, "reference_dt": self.reference_dt, "features": rows}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, document: bytes) -> "FrozenBins":
        """Read what `to_json` wrote.

        Raises
        ------
        DataError
            The document is not one of ours, or its edges do not ascend.
        """
        try:
            raw = orjson.loads(document)
            version = raw["version"]
            edges = {(row[ENTITY], row[FEATURE]): tuple(map(float, row[BIN_EDGES])) for row in raw["features"]}
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from error
        if version != _VERSION:
            raise _unreadable(f"version {version}, expected {_VERSION}")
        for key, values in edges.items():
            if any(right <= left for left, right in pairwise(values)):
                raise _unreadable(f"the edges of {'/'.join(key)} do not ascend")
        return cls(edges, raw.get("reference_dt", ""))

    def save(self, path: str | Path) -> None:
        """Write the bins next to a model."""
        Path(path).write_bytes(self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "FrozenBins":
        """Read the bins that were saved next to a model."""
        return cls.from_json(Path(path).read_bytes())


def freeze(column: Sketch, bins: int = BINS) -> "NDArray[np.float32]":
    """Edges of about `bins` bins of equal mass, float32 [b + 1]; empty without any value.

    Left edges are lower bounds of cells, so that the sketch's own histogram on them is exact. Each bin takes its
    share of what is left; a cell that holds 1 / `bins` of all values alone is a bin alone, which can add a few bins.
    """
    total = int(column.cell_counts.sum())
    if not total:
        return np.zeros(0, np.float32)
    starts = _bin_starts(column.cell_counts, total, bins)
    lower = column.lower_bounds()[starts]
    last = max(np.float32(column.most), np.nextafter(lower[-1], np.float32(np.inf)))
    return np.unique(np.append(lower, last).clip(-_LARGEST, _LARGEST)).astype(np.float32)


def counts_on(column: Sketch, edges: "NDArray[np.float32]") -> Counts:
    """The histogram of a sketch on edges that `freeze` made from the same sketch; layout of `Sketch.bin_counts`."""
    if not len(edges):
        return np.array([column.rows - column.nulls, column.nulls], dtype=np.int64)
    lower = column.lower_bounds()
    before = np.searchsorted(lower, edges, side="left")
    before[-1] = np.searchsorted(lower, edges[-1], side="right")
    values_before = np.append(0, np.cumsum(column.cell_counts))[before]
    return np.append(np.diff(values_before, prepend=0, append=column.rows - column.nulls), column.nulls)


def _bin_starts(counts: Counts, total: int, bins: int) -> list[int]:
    """Index of the first cell of each bin."""
    cumulative = np.cumsum(counts)
    heavy = np.flatnonzero(counts * bins >= total)
    starts = [0]
    while True:
        start = starts[-1]
        done = int(cumulative[start] - counts[start])
        share = max((total - done) / max(bins - len(starts) + 1, 1), total / bins)
        end = int(np.searchsorted(cumulative, done + share, side="left")) + 1
        next_heavy = heavy[np.searchsorted(heavy, start, side="left") :]
        if len(next_heavy):
            end = start + 1 if next_heavy[0] == start else min(end, int(next_heavy[0]))
        if len(counts) <= bins:
            end = start + 1
        if end >= len(counts):
            return starts
        starts.append(end)


def _unreadable(problem: str) -> DataError:
    return DataError(
        f"frozen bins cannot be read: {problem}",
        why="drift would be judged on other bins than the model's",
        remedy="take the bins file of the model's own training run, or train again",
    )


def bin_labels(edges: "NDArray[np.float64] | list[float]") -> list[str]:
    """Names of the counts of a histogram: "< 0", "[0, 1)", ..., "> 9", "null"."""
    values = [float(edge) for edge in edges]
    if not values:
        return ["any", "null"]
    inside = [_bin_label(left, right, ")") for left, right in pairwise(values)]
    if inside:
        inside[-1] = _bin_label(values[-2], values[-1], "]")
    last = inside[-1].removeprefix("= ") if inside and inside[-1].startswith("=") else f"{values[-1]:.4g}"
    return [f"< {values[0]:.4g}", *inside, f"> {last}", "null"]


def _bin_label(left: float, right: float, closing: str) -> str:
    alone = np.nextafter(np.float32(left), np.float32(np.inf)) == np.float32(right)
    return f"= {left:.4g}" if alone else f"[{left:.4g}, {right:.4g}{closing}"
