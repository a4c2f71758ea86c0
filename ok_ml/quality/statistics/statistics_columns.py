"""Columns of the small tables of this package, once."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

ENTITY: Final = "entity"
FEATURE: Final = "feature"
ROWS: Final = "rows"
NULL_SHARE: Final = "null_share"
MEAN: Final = "mean"
STD: Final = "std"
MIN: Final = "min"
MAX: Final = "max"
QUANTILES: Final = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}
BIN_EDGES: Final = "bin_edges"
BIN_COUNTS: Final = "bin_counts"

PSI: Final = "psi"
PSI_RAW: Final = "psi_raw"
PSI_NOISE: Final = "psi_noise"
JS: Final = "js"
MEAN_NOW: Final = "mean_now"
MEAN_REFERENCE: Final = "mean_reference"
ROWS_REFERENCE: Final = "rows_reference"
MOVED: Final = "moved"
VERDICT: Final = "verdict"


def statistics_schema() -> "pa.Schema":
    """Schema of feature_statistics: one row a feature and day, counts on `bin_edges` as in `Sketch.bin_counts`."""
    import pyarrow as pa

    from ok_ml.columns import DT

    numbers = [(name, pa.float64()) for name in (NULL_SHARE, MEAN, STD, MIN, MAX, *QUANTILES)]
    return pa.schema(
        [
            (ENTITY, pa.string()),
            (FEATURE, pa.string()),
            (DT, pa.string()),
            (ROWS, pa.int64()),
            *numbers,
            (BIN_EDGES, pa.list_(pa.float64())),
            (BIN_COUNTS, pa.list_(pa.int64())),
        ]
    )


def drift_schema() -> "pa.Schema":
    """Schema of a drift table: one row a feature, worst first."""
    import pyarrow as pa

    return pa.schema(
        [
            (ENTITY, pa.string()),
            (FEATURE, pa.string()),
            (VERDICT, pa.string()),
            (PSI, pa.float64()),
            (PSI_RAW, pa.float64()),
            (PSI_NOISE, pa.float64()),
            (JS, pa.float64()),
            (MEAN_NOW, pa.float64()),
            (MEAN_REFERENCE, pa.float64()),
            (NULL_SHARE, pa.float64()),
            (ROWS, pa.int64()),
            (ROWS_REFERENCE, pa.int64()),
            (MOVED, pa.string()),
        ]
    )
