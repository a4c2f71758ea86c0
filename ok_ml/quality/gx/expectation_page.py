"""One page a table and day with everything that was expected of it, for a browser.

GX's own Data Docs load their styles and scripts from seven other hosts and do not render numbers of numpy, so a page of our
own says the same: what was expected, what was observed, and examples of what was not expected.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from ok_ml.quality.gx.gx_outcomes import Outcome

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.5rem .6rem;border-bottom:1px solid #ddd}
code{font-size:.9em;overflow-wrap:anywhere}.ok{color:#17703a}.warn{color:#8a5a00}.block{color:#b3261e}small{color:#555}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#3a3a3a}small{color:#aaa}
.ok{color:#6fd08c}.warn{color:#e8b650}.block{color:#ff8a80}}
"""
_HEADS: Final = ("", "expectation", "expected", "observed", "unexpected", "examples")


def page(title: str, dt: str, outcomes: Sequence[Outcome], rows: str) -> str:
    """The page as HTML that loads nothing.

    Parameters
    ----------
    title
        Scope and table.
    rows
        How many rows were judged, in words.
    """
    failed = sum(not one.passed for one in outcomes)
    said = f"{failed} of {len(outcomes)} expectations failed" if failed else f"all {len(outcomes)} expectations hold"
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    body = "".join(_row(one) for one in sorted(outcomes, key=lambda one: (one.passed, one.severity)))
    name = escape(f"{title}, {dt}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{name}</h1><p>{said}; {escape(rows)}.</p><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></body></html>\n"
    )


def _row(one: Outcome) -> str:
    state, word = ("ok", "holds") if one.passed else (one.severity, "blocks" if one.severity == "block" else "warns")
    share = "" if one.unexpected_percent is None else f"<br>{one.unexpected_percent:.3g} %"
    count = "" if one.unexpected is None else f"{one.unexpected:,}{share}"
    examples = ", ".join(f"<code>{escape(value)}</code>" for value in dict.fromkeys(one.examples))
    cells = (
        f'<b class="{state}">{word}</b>',
        f"<code>{escape(one.expectation)}</code><br><small><code>{escape(one.arguments)}</code></small>",
        escape(one.expected),
        escape(one.observed),
        count,
        examples,
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
