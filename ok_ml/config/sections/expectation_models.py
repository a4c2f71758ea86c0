"""Expectations of Great Expectations: section `checks.expectations` of a dataset's or an experiment's YAML.

Names and arguments are held against a list of GX's own when a configuration is loaded, since GX takes seconds to import;
`ok-ml validate` and the check itself build each expectation with GX, which judges the values of the arguments as well.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field

from ok_ml.config.sections.frozen import Frozen

GALLERY: Final = Path(__file__).with_name("gx_gallery.json")  # written by `python -m ok_ml.config.gx`
MOST_ROWS: Final = 1_000_000  # judged of a table by default; a process that judges so many events holds 750 MB
# Arguments of every expectation; the others that GX has say how it is run or are its cloud's.
COMMON: Final = ("description", "meta", "notes", "severity")
_CLOSE: Final = 3

DatasetTable = Literal["events", "users", "sources", "subscriptions", "friends", "event_statistics", "product_metrics"]
ExperimentTable = Literal[
    "user_features", "source_features", "pair_features", "user_topics", "text_features", "feature_statistics",
    "predictions", "prediction_statistics",
]  # fmt: skip
GxSeverity = Literal["critical", "warning"]


class Named(NamedTuple):
    """One expectation as the YAML writes it.

    Attributes
    ----------
    name
        GX's snake-case name, or the path of a class of the project.
    severity
        Of its group, unless its own argument `severity` says otherwise.
    """

    name: str
    arguments: Mapping[str, Any]
    severity: Literal["warn", "block"]

    @property
    def is_own(self) -> bool:
        """Whether it is a class of the project."""
        return ":" in self.name

    @property
    def column(self) -> str:
        """The column or columns that it is about; empty for the whole table."""
        said = self.arguments
        several = said.get("column_list") or [said[key] for key in ("column_A", "column_B") if key in said]
        return str(said["column"]) if "column" in said else ", ".join(map(str, several))


class _Expectations(Frozen):
    """What one table must keep."""

    sample_rows: int = Field(
        default=MOST_ROWS,
        ge=1,
        description="Rows judged at most. Of a larger table so many are drawn, the same ones whenever the same data are "
        "judged; its row count is always that of the whole table.",
    )
    severity: GxSeverity = Field(
        default="critical",
        description="critical: a failure blocks what follows, as a rule that blocks does; warning: it is reported.",
    )
    expect: tuple[Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=1)], ...] = Field(
        min_length=1, description="name of an expectation, or path of a class of the project -> its arguments."
    )

    @property
    def named(self) -> Iterator[Named]:
        """Its expectations, in order."""
        for one in self.expect:
            for name, said in one.items():
                severity = said.get("severity", self.severity)
                yield Named(name, _as_lists(said), "block" if severity == "critical" else "warn")


class DatasetExpectations(_Expectations):
    """Expectations of the newest partition of a table of a dataset."""

    table: DatasetTable


class ExperimentExpectations(_Expectations):
    """Expectations of the newest partition of a table of an experiment."""

    table: ExperimentTable


TableExpectations = DatasetExpectations | ExperimentExpectations


def tables_of(groups: Sequence[TableExpectations]) -> list[str]:
    """The tables that something is expected of, each once, in order."""
    return list(dict.fromkeys(group.table for group in groups))


def _as_lists(value: Any) -> Any:
    """As GX wants it: a YAML's lists are tuples here."""
    if isinstance(value, dict):
        return {key: _as_lists(one) for key, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, tuple | list) else value


# -- names and arguments, without GX -------------------------------------------------------------------------------


@cache
def gallery() -> dict[str, dict[str, list[str]]]:
    """Name of each of GX's own expectations -> `required` and `optional` arguments of its own."""
    arguments: dict[str, dict[str, list[str]]] = json.loads(GALLERY.read_text(encoding="utf-8"))["expectations"]
    return arguments


def wrong_name(name: str) -> str | None:
    """What is wrong with the name of an expectation that is no path; None if GX has it."""
    if name in gallery():
        return None
    plain = {_plain(known): known for known in gallery()}
    close = [plain[one] for one in get_close_matches(_plain(name), plain, n=_CLOSE, cutoff=0.6)]
    hint = f"; close ones: {', '.join(close)}" if close else "; see https://greatexpectations.io/expectations"
    return f"expected an expectation of Great Expectations, or a path like ideas/file.py:NAME, got {name!r}{hint}"


def wrong_arguments(name: str, said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Argument and what is wrong with it, as far as names go."""
    needed, allowed = gallery()[name]["required"], gallery()[name]["optional"]
    for key in needed:
        if key not in said:
            yield "", f"expected {key!r} among the arguments of {name}, got {', '.join(said) or 'none'}"
    for key in said:
        if key not in (*needed, *allowed, *COMMON):
            listed = ", ".join(sorted([*needed, *allowed, *COMMON]))
            yield key, f"expected one of {listed} as argument of {name}, got {key!r}"


def wrong_severity(said: Mapping[str, Any]) -> str | None:
    """What is wrong with an expectation's own severity."""
    severity = said.get("severity", "critical")
    return None if severity in ("critical", "warning") else f"expected critical or warning, got {severity!r}"


def _plain(name: str) -> str:
    """A name as it is compared: also the class name of an expectation is close to its own."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
