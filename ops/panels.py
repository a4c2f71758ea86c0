"""Panels and dashboards in a few words, and how they become what Grafana reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shown
from grafana_foundation_sdk.models import dashboard as grafana

Kind = Literal["stat", "lines", "bars"]

SOURCE: Final = "datasource"
EXPERIMENT: Final = "experiment"
_GREEN, _YELLOW, _RED = "green", "yellow", "red"
_HEIGHT: Final[dict[Kind, int]] = {"stat": 4, "lines": 8, "bars": 8}


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    Attributes
    ----------
    expr
        PromQL.
    legend
        What a series is called; `{{label}}` stands for the value of a label.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes
    ----------
    what
        What it shows, and what to do about a bad value.
    unit
        As Grafana calls it: s, bytes, percentunit, reqps, short, none.
    limits
        From which value on it is yellow, and red; descending ones mean that less is worse.
    width
        In 24ths of the page.
    """

    title: str
    what: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "lines"
    limits: tuple[float, float] | None = None
    width: int = 8
    stacked: bool = False
    top: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """One page; `name` is also the name of its file."""

    name: str
    title: str
    what: str
    rows: Sequence[Row]


def as_json(dashboard: Dashboard) -> str:
    """What Grafana imports, with a line break at its end."""
    made = (
        build.Dashboard(dashboard.title)
        .uid(f"ok-ml-{dashboard.name}")
        .description(dashboard.what)
        .tags(["ok_ml"])
        .timezone("utc")
        .time("now-1h", "now")
        .refresh("10s")
        .readonly()
        .tooltip(grafana.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable(SOURCE).label("Prometheus").type("prometheus"))
        .with_variable(_experiment())
        .link(build.DashboardLink("ok_ml").type(grafana.DashboardLinkType.DASHBOARDS).tags(["ok_ml"]).as_dropdown(True))
    )
    for row in dashboard.rows:
        made.with_row(build.Row(row.title))
        for panel in row.panels:
            made.with_panel(_panel(panel))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _experiment() -> build.QueryVariable:
    return (
        build.QueryVariable(EXPERIMENT)
        .label("Experiment")
        .datasource(_source())
        .query("label_values(ok_ml_served_data_limit_seconds, experiment)")
        .refresh(grafana.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(grafana.VariableOption(selected=True, text="All", value="$__all"))
    )


def _source() -> grafana.DataSourceRef:
    return grafana.DataSourceRef(type_val="prometheus", uid=f"${{{SOURCE}}}")


def _panel(panel: Panel) -> Any:
    made: Any = {"stat": _stat, "lines": _lines, "bars": _bars}[panel.kind](panel)
    made.title(panel.title).description(panel.what).unit(panel.unit).datasource(_source())
    made.span(panel.width).height(_HEIGHT[panel.kind])
    if panel.top is not None:
        made.max(panel.top)
    if panel.limits is not None:
        made.thresholds(_thresholds(*panel.limits))
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + number))
        made.with_target(target.legend_format(query.legend or "__auto"))
    return made


def _thresholds(warn: float, bad: float) -> build.ThresholdsConfig:
    steps = (
        [(None, _GREEN), (warn, _YELLOW), (bad, _RED)]
        if warn <= bad
        else [(None, _RED), (bad, _YELLOW), (warn, _GREEN)]
    )
    return (
        build.ThresholdsConfig()
        .mode(grafana.ThresholdsMode.ABSOLUTE)
        .steps([grafana.Threshold(value=value, color=color) for value, color in steps])
    )


def _stat(panel: Panel) -> stat.Panel:
    made = stat.Panel().graph_mode(shown.BigValueGraphMode.AREA).reduce_options(_last())
    coloured = panel.limits is not None
    return made.color_mode(shown.BigValueColorMode.VALUE if coloured else shown.BigValueColorMode.NONE)


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().line_width(1.5).fill_opacity(25 if panel.stacked else 5).min(0)
    made.show_points(shown.VisibilityMode.NEVER)
    made.legend(
        common.VizLegendOptions()
        .display_mode(shown.LegendDisplayMode.TABLE)
        .placement(shown.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
        .show_legend(True)
    )
    if panel.stacked:
        made.stacking(common.StackingConfig().mode(shown.StackingMode.NORMAL))
    if panel.limits is not None:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(shown.GraphTresholdsStyleMode.DASHED))
    return made


def _bars(_panel: Panel) -> bargauge.Panel:
    made = bargauge.Panel().orientation(shown.VizOrientation.HORIZONTAL).reduce_options(_last())
    return made.display_mode(shown.BarGaugeDisplayMode.BASIC)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])
