"""`ok-ml checks`: every rule of a day with what was expected and seen, worst first."""

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import cut, say, terminal_width, write_json, write_table

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.quality.rules import Finding

_FRAME_LINES: Final = 6
_HEADERS: Final = ("state", "check", "of", "statistic", "seen", "expected", "since")
_STATES: Final = {"block": "fail", "warn": "warn"}


@command(
    "checks",
    examples=["ok-ml checks", "ok-ml checks prod_discovery --day 2026-02-01 --all", "ok-ml checks ok_world --json"],
)
@click.argument("name", required=False)
@click.option("--day", help="ISO date; default: the newest day.")
@click.option("--all", "everything", is_flag=True, help="Every rule, however many lines it takes.")
@click.pass_context
def checks(
    ctx: click.Context, settings: Settings, *, name: str | None, day: str | None, everything: bool, as_json: bool
) -> None:
    """List the declared rules of a day with expected and seen, worst first.

    NAME is an experiment, whose dataset is included, or a dataset. Exit code 4 if a rule blocks.
    """
    project = settings.project()
    if name is None or name in project.experiments or name not in project.datasets:
        name = the_experiment(project, name)
    dt, found = _findings(project, name, day)
    if as_json:
        rows = [{"check": kind, **asdict(one), "message": one.message} for kind, one in found]
        write_json({"name": name, "day": dt, "rules": rows})
    else:
        _write(name, dt, found, everything=everything)
    ctx.exit(4 if any(not one.passed and one.severity == "block" for _, one in found) else 0)


def _findings(project: "Project", name: str, day: str | None) -> tuple[str, list[tuple[str, "Finding"]]]:
    """(check, finding) of a day, worst first: the committed verdict where it is current, else judged now."""
    from ok_ml import columns as c
    from ok_ml.lake import Lake
    from ok_ml.pipelines.judging_data import judge_data, known_verdict
    from ok_ml.quality.rules import in_order
    from ok_ml.quality.verdicts import FEATURES

    lake, is_dataset = Lake(project.lake_root), name not in project.experiments
    table = c.EVENTS if is_dataset else c.FEATURE_STATISTICS
    dt = lake.manifest(name, table, day).partition if day else lake.latest(name, table)
    dataset = project.datasets[name] if is_dataset else project.dataset_of(name)
    verdict = known_verdict(project, dataset, dt)
    if verdict is None:
        say(f"judging {dt} of {dataset.dataset} ...")
        verdict = judge_data(project, dataset, dt=dt, commit=False)
    of = [(kind, one) for kind, findings in verdict.by_kind.items() for one in findings]
    if not is_dataset:
        known = {one.key for _, one in of}
        of += [(FEATURES, one) for one in _of_features(project, name, dt) if one.key not in known]
    order = {id(one): place for place, one in enumerate(in_order(one for _, one in of))}
    return dt, sorted(of, key=lambda pair: order[id(pair[1])])


def _of_features(project: "Project", name: str, dt: str) -> list["Finding"]:
    from ok_ml.pipelines.judging_features import feature_findings, known_findings
    from ok_ml.pipelines.registry import open_pipeline
    from ok_ml.pipelines.watching import has_verdict

    pipeline = open_pipeline(project, name)
    found = known_findings(pipeline, dt) if has_verdict(pipeline, dt) else []
    if not found:
        say(f"judging the features of {name} on {dt} ...")
    return found or feature_findings(pipeline, dt)


def _write(name: str, dt: str, found: list[tuple[str, "Finding"]], *, everything: bool) -> None:
    failed = [one for _, one in found if not one.passed]
    most = len(found) if everything else max(shutil.get_terminal_size((100, 30)).lines - _FRAME_LINES, 8, len(failed))
    rows = [_row(kind, one) for kind, one in found[:most]]
    width = max((terminal_width() - 60) // 2, 16)
    write_table(
        _HEADERS,
        [[*row[:2], row[2], row[3], cut(row[4], width), cut(row[5], width), row[6]] for row in rows],
        style_of="state",
    )
    for one in failed[:3]:
        say(one.message)
    hidden = f"; {len(found) - most} more with --all" if len(found) > most else ""
    say(f"{name} on {dt}: {len(found)} rules, {len(failed)} do not hold{hidden}")


def _row(kind: str, one: "Finding") -> list[Any]:
    state = "ok" if one.passed else _STATES[one.severity]
    return [
        state,
        kind,
        f"{one.entity} {one.feature}".strip(),
        one.statistic,
        one.seen,
        one.expected,
        one.since or None,
    ]
