"""Where a collector keeps what: light, so that whoever only looks need not load Arrow."""

from typing import Final

from ok_ml.columns import EVENTS

FOLDER: Final = "_collecting"  # below the dataset's folder of the lake
RAW_EVENTS: Final = (
    f"raw_{EVENTS}"  # what ok_ml.datasets.formats.locations makes of a path topic:NAME, without its weight
)
THROUGH: Final = "through_batch"  # in a committed day's details: the last batch that the version holds
