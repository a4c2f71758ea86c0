"""The event log of many blocks inside Spark: one row of the input is one block, no state crosses tasks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pyarrow as pa

from ok_ml.config.models import WorldConfig
from ok_ml.world.behaviour.simulation import RAW_EVENTS, World, simulate_block

SCHEMA: Final = (
    "dt string, userId long, ownerId long, objectId long, action string, pos int, contentType string, durationMs int,"
    " timestampMs long"
)


def block_mapper(
    config: WorldConfig, parts: int, days: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow(mapper, SCHEMA)` over a frame whose first column holds block numbers.

    Each block goes through days 0 .. days - 1 from its initial state; the rows are those of `simulate_block`.
    """

    def simulate(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        world = World(config, parts)
        for batch in batches:
            for block in batch.column(0).to_pylist():
                state = None
                for day in range(days):
                    result = simulate_block(world, block, day, state)
                    state = result.subscriptions
                    dates = pa.repeat(pa.scalar(world.date_of(day)), result.events.num_rows)
                    columns = [dates, *(column.combine_chunks() for column in result.events.columns)]
                    yield pa.RecordBatch.from_arrays(columns, names=["dt", *RAW_EVENTS.names])

    return simulate
