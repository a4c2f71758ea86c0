"""The results of the expectations of a table on a day: stored in the lake with it, with a page for people.

Results are the table `<table>_expectations` and depend on the rows of the table, on what is expected and on the project's own
code that is named there; the same again is read, not run.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.atomic_write import replace_file
from ok_ml.config.extensions import source_of
from ok_ml.config.models import Project
from ok_ml.config.sections.code_kinds import EXPECTATIONS as OWN_CODE
from ok_ml.config.sections.expectation_models import TableExpectations, tables_of
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.quality.gx.gx_outcomes import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from ok_ml.quality.gx.row_sample import RowSample

EXPECTATIONS: Final = "expectations"  # kind of findings, name of checks, and end of the names of tables of results
TOTAL: Final = "total"  # in the details of results: rows of the table
_JUDGE_VERSION: Final = "1"  # raise it when the same rows may get another result


@dataclass(frozen=True)
class Expected:
    """What is expected of the tables of one dataset or experiment."""

    project: Project
    scope: str
    groups: tuple[TableExpectations, ...]

    @classmethod
    def of(cls, project: Project, scope: str) -> "Expected":
        """As the YAML says; of a dataset of texts nothing is."""
        config = project.experiments.get(scope) or project.datasets[scope]
        return cls(project, scope, tuple(getattr(config.checks, EXPECTATIONS, ())))

    def within(self, tables: Sequence[str]) -> "Expected":
        """Of some tables alone."""
        return Expected(self.project, self.scope, tuple(group for group in self.groups if group.table in tables))

    @property
    def lake(self) -> Lake:
        """The lake of the project."""
        return Lake(self.project.lake_root)

    @property
    def tables(self) -> list[str]:
        """Tables that something is expected of."""
        return tables_of(self.groups)

    def record(self, table: str, dt: str) -> dict[str, str] | None:
        """What results of a table depend on; None while it is not there."""
        manifest = self.lake.find(self.scope, table, dt)
        if manifest is None:
            return None
        groups = [group for group in self.groups if group.table == table]
        said = json.dumps([group.model_dump(mode="json") for group in groups], sort_keys=True)
        named = sorted({one.name for group in groups for one in group.named if one.is_own})
        code = {name: source.sha256 for name in named if (source := source_of(OWN_CODE, name, self.project.root))}
        others = {
            other: there.data_version
            for other in self.others(table)
            if other in said and (there := self.lake.find(self.scope, other, dt)) is not None
        }
        return {
            "data": manifest.data_version,
            "expected": fingerprint({"said": said}),
            "others": fingerprint({**others}),
            "code": _JUDGE_VERSION,
            **code,
        }

    def others(self, table: str) -> list[str]:
        """Tables beside it that a query may name."""
        known = (
            (c.EVENTS, *c.SNAPSHOTS, *c.DATASET_SERIES)
            if self.scope in self.project.datasets
            else (*c.FEATURE_TABLES, c.TEXT_FEATURES)
        )
        return [name for name in known if name != table]

    def version(self, dt: str) -> dict[str, str]:
        """For the record of a verdict that these findings are part of; nothing where nothing is expected."""
        records = {table: self.record(table, dt) for table in self.tables}
        return {EXPECTATIONS: fingerprint({**records})} if records else {}


def results_of(table: str) -> str:
    """The table of results."""
    return f"{table}_{EXPECTATIONS}"


# -- outcomes ------------------------------------------------------------------------------------------------------


def outcomes_on(expected: Expected, table: str, dt: str, *, commit: bool = True) -> tuple[list[Outcome], int]:
    """What came of everything that is expected of a table on a day, and its rows; no outcomes while it is not there.

    Parameters
    ----------
    commit
        Whether results that were not there are stored, and shown on a page.
    """
    wanted, lake = expected.record(table, dt), expected.lake
    if wanted is None:
        return [], 0
    known = lake.find(expected.scope, results_of(table), dt)
    is_kept = known is not None and known.inputs == wanted
    path = page_path(expected.project, expected.scope, table, dt)
    if known is not None and is_kept:
        outcomes, total = read_results(lake, known), int(known.details[TOTAL])
    else:
        outcomes, total = _run(expected, table, dt)
    if commit and not is_kept:
        _keep(expected, table, dt, outcomes, total, wanted)
    if commit and not (is_kept and path.is_file()):
        _write_page(expected, table, dt, outcomes, total)
    return outcomes, total


def page_path(project: Project, scope: str, table: str, dt: str) -> Path:
    """The page with the results of a table and day."""
    return project.state_dir / "plots" / scope / f"{EXPECTATIONS}-{table}-{dt}.html"


def in_rows(expected: Expected, table: str, total: int) -> str:
    """How many rows of a table were judged, in words."""
    least = min(group.sample_rows for group in expected.groups if group.table == table)
    return f"all {total:,} rows were judged" if least >= total else f"{least:,} of {total:,} rows were drawn and judged"


def _run(expected: Expected, table: str, dt: str) -> tuple[list[Outcome], int]:
    from ok_ml.quality.gx.gx_run import Rows, run
    from ok_ml.quality.gx.row_sample import draw

    lake, root = expected.lake, expected.project.root
    outcomes: list[Outcome] = []
    for group in (one for one in expected.groups if one.table == table):

        def other(name: str, most: int = group.sample_rows) -> "RowSample":
            return draw(lake, expected.scope, name, dt, most)

        with lake.scratch(EXPECTATIONS) as folder:
            rows = Rows(table, other(table), other, expected.others(table), folder)
            outcomes += run([*group.named], rows, root)
    return outcomes, lake.manifest(expected.scope, table, dt).rows


def _keep(
    expected: Expected, table: str, dt: str, outcomes: Sequence[Outcome], total: int, inputs: dict[str, str]
) -> None:
    details = {TOTAL: total, "failed": sum(not one.passed for one in outcomes)}
    expected.lake.write(
        expected.scope,
        results_of(table),
        dt,
        _to_table(outcomes),
        sort_by=["number"],
        inputs=inputs,
        details=details,
    )


def _write_page(expected: Expected, table: str, dt: str, outcomes: Sequence[Outcome], total: int) -> None:
    from ok_ml.quality.gx.expectation_page import page

    path = page_path(expected.project, expected.scope, table, dt)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, page(f"{expected.scope}/{table}", dt, outcomes, in_rows(expected, table, total)).encode())


def _to_table(outcomes: Sequence[Outcome]) -> "pa.Table":
    import pyarrow as pa

    kinds = {"passed": pa.bool_(), "rows": pa.int64(), "unexpected": pa.int64(), "unexpected_percent": pa.float64()}
    rows = [asdict(one) | {"examples": json.dumps(one.examples)} for one in outcomes]
    columns = {
        name: pa.array([row[name] for row in rows], kinds.get(name, pa.string()))
        for name in Outcome.__dataclass_fields__
    }
    return pa.table({"number": pa.array(range(len(rows)), pa.int32()), **columns})


def read_results(lake: Lake, manifest: Manifest) -> list[Outcome]:
    """The stored outcomes of a table and day."""
    rows = lake.read(manifest.scope, manifest.table, [manifest.partition]).drop_columns(["number"]).to_pylist()
    return [Outcome(**{**row, "examples": tuple(json.loads(row["examples"]))}) for row in rows]
