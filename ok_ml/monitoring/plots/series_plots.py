"""Pictures of numbers by day: what was served and what people did, with the expected values."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.config.calibration import DEFAULT_LIMIT
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.expected_values import wrong_days
from ok_ml.quality.plots.band_plots import Panel, band_panels, bands_of
from ok_ml.quality.ranking import online_ranking as online
from ok_ml.quality.statistics import product_statistics as product
from ok_ml.quality.statistics.number_series import Name, Number, Series, as_series, read_days
from ok_ml.stages.blocked_days import blocked_dts
from ok_ml.stages.plot_files import scope_plot_path

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.stages.pipeline import Pipeline

DAYS_DRAWN: Final = 56
_MOST_LINES: Final = 7  # a chart has so many colours
_ONLINE, _PRODUCT = "online-{}.png", "product-{}.png"
Days = dict[str, dict[Name, Number]]


class Drawing:
    """The newest days of one table of numbers, as panels.

    Parameters
    ----------
    limit
        Largest score inside a band.
    short_history
        Whether shares have bands from their third day on.
    """

    def __init__(
        self, lake: Lake, scope: str, table: str, *, limit: float = DEFAULT_LIMIT, short_history: bool = False
    ) -> None:
        self.dts = lake.partitions(scope, table)[-DAYS_DRAWN:]
        self.days: Days = read_days(lake, scope, table, self.dts)
        self.series = as_series(self.days)
        self._wrong = wrong_days(lake, scope, table, "9999-12-31")
        self._limit, self._short_history = limit, short_history

    def has(self, metric: str, group: str = "") -> bool:
        """Whether any day tells a number."""
        one = self.series.get(Name(metric, group))
        return one is not None and any(value is not None for value in one.values)

    def banded(self, title: str, metric: str, group: str = "", *, share: bool = False) -> Panel:
        """One number with its band."""
        name = Name(metric, group)
        bands = bands_of(self.days, name, limit=self._limit, leave_out=self._wrong, short_history=self._short_history)
        return Panel(title, {metric: self._line(name)}, bands, share)

    def lines(self, title: str, names: Mapping[str, Name], *, share: bool = False, from_zero: bool = False) -> Panel:
        """Several numbers without bands, those that no day tells left out."""
        known = {label: self._line(name) for label, name in names.items() if self.has(*name)}
        return Panel(title, dict(list(known.items())[:_MOST_LINES]), share=share, from_zero=from_zero)

    def groups(self, metric: str, prefix: str) -> dict[str, Name]:
        """Label -> name of every group of a metric that begins with a word, those with most rows first."""
        names = [name for name in self.series if name.metric == metric and name.group.startswith(f"{prefix} ")]
        names = sorted(names, key=lambda name: (-sum(self.series[name].n), name.group))[:_MOST_LINES]
        return {name.group.removeprefix(f"{prefix} "): name for name in sorted(names)}

    def _line(self, name: Name) -> Series:
        return self.series.get(name) or Series(name, (), (), ())


def plot_online(pipeline: "Pipeline", fall: float, *, only: str | None = None) -> dict[str, Path]:
    """Quality of what was served, by segment and by model version; nothing before the first day with numbers.

    Parameters
    ----------
    fall
        Score below its band from which a number has fallen.
    only
        One of quality, by_segment, by_model; None: all.
    """
    drawing = Drawing(pipeline.lake, pipeline.name, c.ONLINE_METRICS, limit=fall, short_history=True)
    k = min(
        (
            int(name.metric.split("@")[1])
            for name in drawing.series
            if name.metric.startswith("ndcg@") and "/" not in name.metric
        ),
        default=0,
    )
    if not k:
        return {}
    marks = model_marks(pipeline.lake, pipeline.name, c.ONLINE_METRICS, drawing.dts)
    sheets = {
        "quality": ("What was served, and what people did with it", _quality_panels(drawing, k)),
        "by_segment": ("Served lists by segment", _group_panels(drawing, k, "segment")),
        "by_model": ("Served lists by model version", _group_panels(drawing, k, "model")),
    }
    return {
        name: _drawn(pipeline.project, pipeline.name, _ONLINE.format(name), panels, title, marks)
        for name, (title, panels) in sheets.items()
        if any(panel.lines for panel in panels) and only in (None, name)
    }


def plot_product(project: "Project", lake: Lake, dataset: str, *, only: str | None = None) -> dict[str, Path]:
    """What people did by day, by content type and by segment; nothing before the first day.

    Parameters
    ----------
    only
        One of product, by_content, by_segment; None: all.
    """
    drawing = Drawing(lake, dataset, c.PRODUCT_METRICS, limit=project.event_logs[dataset].checks.product_fall)
    rates = [
        ("active users", product.ACTIVE_USERS),
        ("reactions per active user", product.REACTIONS + product.PER_USER),
        ("likes per active user", f"{c.LIKE}s{product.PER_USER}"),
        ("comments per active user", f"{c.COMMENT}s{product.PER_USER}"),
        ("friend requests", f"{c.FRIEND_REQUEST}s"),
        ("minutes per active user", product.MINUTES_PER_USER),
    ]
    shown = [drawing.banded(title, metric) for title, metric in rates if drawing.has(metric)]
    kinds = (f"{c.LIKE}s", f"{c.COMMENT}s", f"{c.SHARE}s", product.HOURS)
    content = [drawing.lines(_words(kind), drawing.groups(kind, "content"), from_zero=True) for kind in kinds]
    segments = [
        drawing.lines("reactions per active user", drawing.groups(product.REACTIONS + product.PER_USER, "segment"))
    ]
    sheets = {
        "product": ("What people did", shown),
        "by_content": ("What people did, by content type", content),
        "by_segment": ("Reactions by segment", segments),
    }
    return {
        name: _drawn(project, dataset, _PRODUCT.format(name), [one for one in panels if one.lines], title, {})
        for name, (title, panels) in sheets.items()
        if any(panel.lines for panel in panels) and only in (None, name)
    }


def online_picture(pipeline: "Pipeline", fall: float) -> Path | None:
    """The picture of the quality, as the asset drew it; drawn where it did not."""
    path = scope_plot_path(pipeline.project, pipeline.name, _ONLINE.format("quality"))
    return path if path.is_file() else plot_online(pipeline, fall, only="quality").get("quality")


def product_picture(project: "Project", lake: Lake, dataset: str) -> Path | None:
    """The picture of what people did, as the asset drew it; drawn where it did not."""
    path = scope_plot_path(project, dataset, _PRODUCT.format("product"))
    return path if path.is_file() else plot_product(project, lake, dataset, only="product").get("product")


def model_marks(lake: Lake, scope: str, table: str, dts: Collection[str]) -> dict[str, str]:
    """Day -> "model N" where another model than on the day before was at work."""
    marks: dict[str, str] = {}
    before = None
    for dt in dts:
        manifest = lake.find(scope, table, dt)
        version = manifest.details.get("model_version") if manifest else None
        if version is not None and before is not None and version != before:
            marks[dt] = f"model {version}"
        before = version if version is not None else before
    return marks


def draw_sheets(
    pipeline: "Pipeline",
    what: str,
    sheets: Mapping[str, tuple[str, list[Panel]]],
    marks: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Name -> picture of each sheet that has something to show.

    Parameters
    ----------
    sheets
        Name -> title and panels.
    marks
        Day -> what happened on it.
    """
    paths: dict[str, Path] = {}
    held = blocked_dts(pipeline.project, pipeline.name)
    for name, (title, panels) in sheets.items():
        shown = [panel for panel in panels if panel.known]
        if shown:
            paths[name] = scope_plot_path(pipeline.project, pipeline.name, f"{what}-{name}.png")
            band_panels(shown, title=f"{title}: {pipeline.name}", marks=marks or {}, held=held, path=paths[name])
    return paths


def _quality_panels(drawing: Drawing, k: int) -> list[Panel]:
    rates = {channel: Name(online.REACTION_RATE + channel) for channel in online.CHANNELS}
    panels = [
        drawing.banded(f"ndcg@{k} of the day's reactions", f"ndcg@{k}"),
        drawing.banded(f"users with a hit in the first {k}", f"hit_rate@{k}", share=True),
        drawing.banded("share of impressions that were of served sources", online.SERVED_SHARE, share=True),
        drawing.lines("posts shown that earned a reaction", rates, share=True),
        drawing.banded(f"share of the catalogue in the first {k} of users who came", f"coverage@{k}", share=True),
    ]
    return [panel for panel in panels if panel.known]


def _group_panels(drawing: Drawing, k: int, prefix: str) -> list[Panel]:
    served = online.REACTION_RATE + online.CHANNELS[online.SERVED]
    panels = [
        drawing.lines(f"ndcg@{k}", drawing.groups(f"ndcg@{k}", prefix)),
        drawing.lines(f"users with a hit in the first {k}", drawing.groups(f"hit_rate@{k}", prefix), share=True),
        drawing.lines(
            "impressions of served sources that earned a reaction", drawing.groups(served, prefix), share=True
        ),
    ]
    return [panel for panel in panels if panel.lines]


def _drawn(
    project: "Project", scope: str, file: str, panels: list[Panel], title: str, marks: Mapping[str, str]
) -> Path:
    path = scope_plot_path(project, scope, file)
    band_panels(panels, title=f"{title}: {scope}", marks=marks, held=blocked_dts(project, scope), path=path)
    return path


def _words(metric: str) -> str:
    return metric.replace("_", " ")
