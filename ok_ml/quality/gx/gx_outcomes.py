"""The result of an expectation, in plain values and in words, from what Great Expectations answers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Final

import numpy as np

from ok_ml.config.sections.expectation_models import Named

EXAMPLES: Final = 20
_LONGEST_ERROR: Final = 300  # characters
_LONGEST: Final = 80  # characters of an example or an observed value


@dataclass(frozen=True)
class Outcome:
    """The result of one expectation.

    Attributes
    ----------
    expected
        In GX's own words.
    observed
        The value, or how many values were unexpected.
    rows
        How many were judged.
    unexpected, unexpected_percent
        None of an expectation about the whole table or about one number of a column.
    examples
        Unexpected values, 20 at most.
    error
        Why it could not be computed; it did not pass then.
    """

    expectation: str
    column: str
    arguments: str
    severity: str
    passed: bool
    expected: str
    observed: str
    rows: int
    unexpected: int | None = None
    unexpected_percent: float | None = None
    examples: tuple[str, ...] = ()
    error: str = ""


def outcome_of(one: Named, made: Any, result: Any, rows: int) -> Outcome:
    """GX's result; numbers of numpy are given as Python's, which alone are JSON."""
    error = "; ".join(dict.fromkeys(_errors(result.exception_info or {})))
    said: Mapping[str, Any] = result.result or {}
    if error:
        return not_computed(one, error, rows, words(made))
    count, percent = said.get("unexpected_count"), said.get("unexpected_percent")
    return Outcome(
        **_of(one),
        passed=bool(result.success),
        expected=words(made),
        observed=_observed(said),
        rows=rows,
        unexpected=None if count is None else int(count),
        unexpected_percent=None if percent is None else float(percent),
        examples=tuple(_shown(value) for value in (said.get("partial_unexpected_list") or [])[:EXAMPLES]),
    )


def not_computed(one: Named, error: str, rows: int, expected: str = "") -> Outcome:
    """The outcome of one that raised, or that could not even be built."""
    error = _first_line(error)
    return Outcome(
        **_of(one),
        passed=False,
        expected=expected or _said(one),
        observed=f"not computed: {error}",
        rows=rows,
        error=error,
    )


def _of(one: Named) -> dict[str, Any]:
    return {
        "expectation": one.name,
        "column": one.column,
        "arguments": json.dumps(one.arguments, sort_keys=True, default=str),
        "severity": one.severity,
    }


def _errors(info: Mapping[str, Any]) -> Iterator[str]:
    """What was raised: of the expectation as a whole, or of each of its metrics."""
    if "raised_exception" in info:
        if info["raised_exception"]:
            yield _first_line(info.get("exception_message"))
        return
    for below in info.values():
        yield from _errors(below)


def _first_line(told: object) -> str:
    """What was raised without the pages that GX adds."""
    line = str(told).strip().partition("\n")[0]
    return line if len(line) <= _LONGEST_ERROR else f"{line[: _LONGEST_ERROR - 3]}..."


def _observed(said: Mapping[str, Any]) -> str:
    count = said.get("unexpected_count")
    if "observed_value" in said and not count:
        return _shown(said["observed_value"])
    if count is None:
        return "nothing"
    percent = said.get("unexpected_percent")
    share = "" if percent is None else f" ({float(percent):.3g} %)"
    shown = list(dict.fromkeys(_shown(value) for value in said.get("partial_unexpected_list") or []))[:3]
    of = f" of {int(said['element_count']):,} values" if said.get("element_count") else ""
    return f"{int(count):,}{of} unexpected{share}{', such as ' + ', '.join(shown) if shown else ''}"


def words(made: Any) -> str:
    """What an expectation expects as GX words it; its arguments where it has no words."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    if made.description:
        return str(made.description)
    said = ", ".join(f"{key} {value}" for key, value in _own_arguments(made).items()) or str(made.expectation_type)
    try:
        value = InlineRenderer(render_object=made.configuration).get_rendered_content()[0].value
    except Exception:  # noqa: BLE001 - of a project's own class; its arguments say as much
        return said
    if not value.template:
        return said  # a table of quantiles
    params = {key: one["value"] if isinstance(one, dict) else one for key, one in (value.params or {}).items()}
    return Template(value.template).safe_substitute(params) or said


def _own_arguments(made: Any) -> dict[str, Any]:
    return {key: value for key, value in made.configuration.kwargs.items() if key not in ("batch_id", "column")}


def _said(one: Named) -> str:
    return ", ".join(f"{key} {value}" for key, value in one.arguments.items()) or one.name


def _shown(value: Any) -> str:
    """A value as people read it, cut short."""
    value = scalar(value)
    if isinstance(value, dict):
        text = ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(_shown(one) for one in value) + "]"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def scalar(value: Any) -> Any:
    """A number of numpy as Python's, an array as a list."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value
