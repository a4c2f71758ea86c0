"""``python -m ops.metric_table`` writes the table of metrics into docs/monitoring.md; a test holds it to the declarations."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ok_ml.metrics import GROUPS, METRICS

PAGE: Final = Path(__file__).parents[1] / "docs" / "monitoring.md"
_BEGIN, _END = "<!-- metrics -->\n", "<!-- end of metrics -->\n"


def table() -> str:
    """Every metric by who measures it, as Markdown."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    for group, what in GROUPS.items():
        yield ""
        yield f"**{group}**: {what}"
        yield ""
        yield "| Metric | Kind | Labels | What |"
        yield "|---|---|---|---|"
        for metric in METRICS.values():
            if metric.group == group:
                labels = ", ".join(f"`{label}`" for label in metric.labels)
                yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"
    yield ""


def with_table(text: str) -> str:
    """The page with the present table."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table()}{_END}{after}"


def main() -> int:
    """Rewrite the page; returns the exit code."""
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stderr.write(f"{PAGE.name}: {len(METRICS)} metrics\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
