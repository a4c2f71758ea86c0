"""Expectations of the YAML run by Great Expectations on the rows of one table: what was observed, one outcome each.

Each is validated by itself, so that one that cannot be computed is an outcome that says so and takes no other with it.
What GX computes in SQL alone (LIKE patterns, queries, the count of another table) runs on the same rows in SQLite.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml.config.gx import build, great_expectations
from ok_ml.config.sections.expectation_models import Named
from ok_ml.errors import ConfigError
from ok_ml.quality.gx.gx_outcomes import EXAMPLES, Outcome, not_computed, outcome_of, scalar, words
from ok_ml.quality.gx.row_sample import RowSample

if TYPE_CHECKING:
    import pandas as pd

DATA_SOURCE: Final = "lake"  # what an expectation that compares two queries calls the tables
_FORMAT: Final = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}


@dataclass(frozen=True)
class Rows:
    """The rows that expectations of one table are held against.

    Attributes
    ----------
    other
        Name -> rows of another table of the same scope and day; raises if there is none.
    tables
        Names that `other` knows.
    scratch
        An empty folder for SQLite's file.
    """

    table: str
    sample: RowSample
    other: Callable[[str], RowSample]
    tables: Sequence[str]
    scratch: Path


def run(expected: Sequence[Named], rows: Rows, root: Path) -> list[Outcome]:
    """One outcome an expectation, in order.

    Parameters
    ----------
    root
        The project's folder, below which its own expectations are.
    """
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # what it logs is in the outcome
    runner = _Runner(rows)
    return [runner.outcome(one, root) for one in expected]


class _Runner:
    """Batches of one table, each made when the first expectation asks for it."""

    def __init__(self, rows: Rows) -> None:
        gx = great_expectations()
        self._rows, self._gxe = rows, gx.expectations
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        self._frames: dict[str, Any] = {}
        self._sqlite: _Sqlite | None = None

    def outcome(self, one: Named, root: Path) -> Outcome:
        drawn = len(self._rows.sample.frame)
        try:
            made = build(one.name, one.arguments, root)
        except ConfigError as error:
            return not_computed(one, error.problem, drawn)
        try:
            in_sql = isinstance(made, self._in_sql)
            batch, rows = (self._in_sqlite(made), drawn) if in_sql else self._in_frame(made)
            asked = made if in_sql else build(one.name, _without_condition(one.arguments), root)
            result = batch.validate(asked, result_format=_FORMAT)
        except Exception as error:  # noqa: BLE001 - GX and own expectations raise anything; it is reported, and does not pass
            return not_computed(one, f"{type(error).__name__}: {error}", drawn, words(made))
        return outcome_of(one, made, result, rows)

    def _in_frame(self, made: Any) -> tuple[Any, int]:
        """What an expectation is held against, and how many rows that are.

        Its row condition picks them here: GX 1.24 counts pairs of columns without regard to it.
        """
        import pandas as pd

        sample, condition = self._rows.sample, getattr(made, "row_condition", None)
        counts = isinstance(made, (self._gxe.ExpectTableRowCountToBeBetween, self._gxe.ExpectTableRowCountToEqual))
        if condition is not None:
            if counts and not sample.is_whole:
                few = f"{len(sample.frame):,} of {sample.total:,}"
                raise ValueError(f"a count of rows under a condition needs all of them, got {few}: raise sample_rows")
            clause = _clause(condition)
            frame = sample.frame.query(clause)
            return self._frame(frame, clause), len(frame)
        if counts and not sample.is_whole:
            return self._frame(pd.DataFrame(index=range(sample.total)), "count"), sample.total
        return self._frame(sample.frame, "rows"), len(sample.frame)

    def _frame(self, frame: "pd.DataFrame", name: str) -> Any:
        if name not in self._frames:
            self._frames[name] = self._context.data_sources.pandas_default.read_dataframe(frame, asset_name=name)
        return self._frames[name]

    def _in_sqlite(self, made: Any) -> Any:
        """The table, and those that the expectation names, in SQLite."""
        if self._sqlite is None:
            self._sqlite = _Sqlite(self._rows)
        said = json.dumps(made.configuration.kwargs, default=str)
        names = [self._rows.table, *(name for name in self._rows.tables if name in said)]
        wholes = [self._sqlite.load(name) for name in dict.fromkeys(names)]
        if not all(wholes) and isinstance(made, self._gxe.ExpectTableRowCountToEqualOtherTable):
            raise ValueError("counts of two tables need all of their rows: raise sample_rows")
        source = self._context.data_sources.add_or_update_sqlite(DATA_SOURCE, connection_string=self._sqlite.address)
        asset = source.add_table_asset(self._rows.table, table_name=self._rows.table)
        return asset.add_batch_definition_whole_table("rows").get_batch()

    @property
    def _in_sql(self) -> tuple[type, ...]:
        """What GX computes in SQL alone."""
        names = [
            "UnexpectedRowsExpectation",
            "ExpectQueryResultsToMatchComparison",
            "ExpectTableRowCountToEqualOtherTable",
            "ExpectColumnValuesToMatchLikePattern",
            "ExpectColumnValuesToMatchLikePatternList",
            "ExpectColumnValuesToNotMatchLikePattern",
            "ExpectColumnValuesToNotMatchLikePatternList",
        ]
        return tuple(getattr(self._gxe, name) for name in names)


def _clause(condition: Any) -> str:
    """A row condition, of text or of GX's own kind, as pandas queries it."""
    from great_expectations.execution_engine import PandasExecutionEngine

    text = getattr(condition, "pass_through_filter", None)
    return str(PandasExecutionEngine().condition_to_filter_clause(condition) if text is None else text)


def _without_condition(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key not in ("row_condition", "condition_parser")}


class _Sqlite:
    """Rows of tables in one SQLite file."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._path = rows.scratch / "rows.db"
        self.address = f"sqlite:///{self._path}"
        self._loaded: dict[str, bool] = {}

    def load(self, table: str) -> bool:
        """Bring a table in unless it is there; whether all of its rows are."""
        if table not in self._loaded:
            sample = self._rows.sample if table == self._rows.table else self._rows.other(table)
            with closing(sqlite3.connect(self._path)) as connection:
                _plain(sample.frame).to_sql(table, connection, index=False)
            self._loaded[table] = sample.is_whole
        return self._loaded[table]


def _plain(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with lists as JSON: SQLite has numbers and text."""
    lists = [
        name for name in frame.columns if frame[name].dtype == object and hasattr(_first(frame[name]), "__array__")
    ]
    return frame.assign(**{name: [json.dumps(list(map(scalar, one))) for one in frame[name]] for name in lists})


def _first(column: "pd.Series[Any]") -> Any:
    present = column.dropna()
    return present.iloc[0] if len(present) else None
