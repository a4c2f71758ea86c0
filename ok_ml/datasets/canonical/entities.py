"""Users and sources: who and what there is at the end of a partition, with attributes."""

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import CANONICAL_COLUMNS, SubscriptionsMapping, TableMapping
from ok_ml.datasets.conversion.mapping import Lookups, map_snapshot, raw_columns
from ok_ml.datasets.conversion.sieve import UNREADABLE, Sieve, met_by
from ok_ml.datasets.formats.raw_tables import RawTable
from ok_ml.hashing import part_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEEN: Final = "seen"
_COUNT: Final = "rows of the raw table"


def canonical_columns(table: str) -> list[str]:
    """Canonical columns of a snapshot table, part aside."""
    needed, optional = CANONICAL_COLUMNS[table]
    return [*needed, *optional]


def read_snapshot(raw: RawTable, dt: str | None) -> tuple[pa.Table, dict[str, int]]:
    """Canonical rows of a raw snapshot table, and how many raw rows were set aside for which reason.

    Rows that tell the state of some pairs (`seen_if`) have it in a column SEEN besides.
    """
    mapping = raw.mapping
    rows = raw.read_all(raw_columns(mapping), dt)
    sieve = Sieve(rows.table.num_rows)
    table = Lookups(mapping, raw.root, raw.key).join(rows.table, sieve)
    canonical = map_snapshot(mapping, table, canonical_columns(raw.name), sieve, raw.key)
    if isinstance(mapping, SubscriptionsMapping) and mapping.seen_if is not None:
        seen = met_by(table, mapping.seen_if, f"{raw.key}.seen_if")[sieve.kept]
        canonical = canonical.append_column(SEEN, pa.array(seen))
    reasons = sieve.counts()
    return canonical, {**reasons, UNREADABLE: len(rows.unreadable)} if rows.unreadable else reasons


def one_row_an_id(table: pa.Table, id_column: str) -> pa.Table:
    """One row an id, ascending: of several different ones the most frequent, of equally frequent ones the first in
    alphabetical order.
    """
    if len(pc.unique(table[id_column])) == table.num_rows:
        return table.sort_by(id_column)
    counted = (
        table.group_by(table.column_names).aggregate([([], "count_all")]).rename_columns([*table.column_names, _COUNT])
    )
    rest = [(name, "ascending") for name in table.column_names if name != id_column]
    ordered = counted.sort_by([(id_column, "ascending"), (_COUNT, "descending"), *rest]).combine_chunks()
    ids = ordered[id_column].to_numpy()
    first = np.ones(len(ids), bool)
    first[1:] = ids[1:] != ids[:-1]
    return ordered.filter(pa.array(first)).drop_columns([_COUNT])


def entity_table(
    table: str, ids: "NDArray[np.int64] | None", attributes: pa.Table | None, mapping: TableMapping | None, parts: int
) -> pa.Table:
    """The rows of users or sources.

    Parameters
    ----------
    ids
        int64, ascending: who is there; None: whoever has attributes.
    attributes
        Canonical rows, one an id, ascending by id; an id without a row has nulls and the constants of `mapping`.

    Returns
    -------
    Users by part and id, with their part; sources by id.
    """
    id_column = c.USER_ID if table == c.USERS else c.SOURCE_ID
    if attributes is None:
        attributes = pa.table(
            {name: pa.array([], pa.int64() if name == id_column else pa.string()) for name in canonical_columns(table)}
        )
    if ids is not None:
        attributes = _looked_up(ids, attributes, id_column)
    for name, value in (mapping.constants if mapping else {}).items():
        attributes = _replaced(attributes, name, pa.repeat(value, attributes.num_rows))
    if table == c.SOURCES:
        names = pc.coalesce(attributes[c.NAME], attributes[c.SOURCE_ID].cast(pa.string()))
        return _replaced(attributes, c.NAME, names)
    part = part_of(attributes[c.USER_ID].to_numpy(), parts)
    order = pa.array(np.argsort(part, kind="stable"))
    return attributes.append_column(c.PART, pa.array(part)).take(order)


def _looked_up(ids: "NDArray[np.int64]", attributes: pa.Table, id_column: str) -> pa.Table:
    wanted = pa.array(ids, pa.int64())
    at = pc.index_in(wanted, value_set=attributes[id_column].combine_chunks())
    columns = {name: attributes[name].take(at) for name in attributes.column_names}
    return pa.table({**columns, id_column: wanted})


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
