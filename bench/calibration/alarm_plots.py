"""How rare a score is on quiet days, and where the limit stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ok_ml.quality.plots import plot_style as s

_DAYS_A_YEAR: Final = 365.25


def tail_chart(scores: Sequence[tuple[str, float]], limit: float, *, path: str | Path | None = None) -> bytes:
    """Days a year on which the worst score of a check passes a value, by check; the limit is marked.

    Parameters
    ----------
    scores
        (check, worst score of a day), one a check and day.
    """
    checks = sorted({check for check, _ in scores})
    figure, (axis,) = s.new_figure(
        "Worst score of a quiet day", "days a year on which a check passes a score; log scale"
    )
    for check, colour in zip(checks, s.PALETTE, strict=False):
        values = np.sort([score for name, score in scores if name == check])[::-1]
        a_year = np.arange(1, len(values) + 1) * _DAYS_A_YEAR / len(values)
        axis.step(values, a_year, color=colour, linewidth=1.6, label=check, where="post")
    axis.axvline(limit, color=s.INK, linewidth=1.2, linestyle=(0, (4, 3)))
    axis.annotate(f" limit {limit:.2f}", (limit, 0.9), xycoords=("data", "axes fraction"), fontsize=9, color=s.INK)
    axis.axhline(1.0, color=s.MUTED, linewidth=0.8)
    axis.set_yscale("log")
    axis.set_xlabel("score")
    axis.set_ylabel("days a year")
    s.legend(axis)
    return s.to_png(figure, path)
