"""The project's texts use the field's terms: words that were replaced by a term do not come back.

Looked at are docstrings, comments and texts of the code, `docs/*.md` and README.md. Names of things (in backticks, or of the
code itself) are not: YAML keys, JSON fields and columns stay what stored files and users call them.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_project import ROOT

# Pattern -> what to write instead.
REPLACED = {
    r"mend(?:s|ed|ing)?": "correct, repair, fix",
    r"grave(?:r|st|ly)?|gravity": "severity, blocking, critical",
    r"kept": "stored, retained, cached, passed",
    r"speaks? again": "is not muted any more",
    r"what holds(?: back)?": "what applies, what blocks",
    r"nobody|somebody": "no user, no one, unknown, another process, a person",
    r"befell|befalls?|befallen": "happened to, has",
    r"cr(?:y|ies|ied) wolf": "raise false alarms",
    r"twins?": "copy, counterpart",
    r"on the way": "meanwhile, while reading",
    r"trifles?": "small amount",
}
# (file, text) -> why it stays.
ALLOWED = {
    ("ok_ml/cli/commands/generations.py", "kept"): "value of the JSON field `state`: the storage does keep the generation",
    ("ok_ml/metric_files.py", "kept"): "field of the files of metrics",
    ("ok_ml/cli/commands/run.py", "grave"): "column of the table past_report",
    ("ok_ml/monitoring/judges/own_past.py", "grave"): "column of the table past_report",
    ("ok_ml/monitoring/judges/series_watch.py", "grave"): "field of stored verdicts",
    ("ok_ml/datasets/conversion/markers.py", "nobody"): "an id that programs write for an unknown user",
    ("ok_ml/datasets/onboarding/audit/verdict.py", "nobody"): "reason of rows set aside, a key of `drop_if`",
    ("ok_ml/datasets/onboarding/guess/proposal.py", "nobody"): "reason of rows set aside, a key of `drop_if`",
}  # fmt: skip

_PATTERN = re.compile(rf"\b(?:{'|'.join(REPLACED)})\b", re.IGNORECASE)
_CODE_BLOCK = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
_IN_BACKTICKS = re.compile(r"``[^`]+``|`[^`\n]+`")
_NAMES_ONLY = re.compile(r"[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*")


def names_in(tree: ast.AST) -> set[str]:
    """Names of variables, parameters, fields and functions of a module."""
    found = set()
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                found.add(name)
    return found


def texts_of_code(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every comment and string; a string's expressions, and lines of parameters' names, left out."""
    tree = ast.parse(source)
    names = names_in(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines = node.value.split("\n")
            is_header = [
                len(lines) > 1 and bool(_NAMES_ONLY.fullmatch(line.strip())) and {*line.strip().split(", ")} <= names
                for line in lines
            ]
            prose = "\n".join("" if header else line for line, header in zip(lines, is_header, strict=True))
            yield node.lineno, prose
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def words_in(path: str, text: str) -> list[str]:
    """`path:line: word` of every replaced word of a file that may not be there."""
    if path.endswith(".md"):
        blank = _CODE_BLOCK.sub(lambda block: block[0] if block[0].startswith("```text") else _comments(block[0]), text)
        texts = [*enumerate(blank.split("\n"), 1)]
    else:
        texts = list(texts_of_code(text))
    return [
        f"{path}:{line}: {word[0]!r}"
        for line, prose in texts
        if (path, prose) not in ALLOWED
        for word in _PATTERN.finditer(_IN_BACKTICKS.sub("", re.sub(r"\s+", " ", prose)))
    ]


def _comments(block: str) -> str:
    """A block of code as its comments, as many lines as it has."""
    return "\n".join(line.partition("#")[2] for line in block.split("\n"))


def sources() -> list[str]:
    paths = [*(ROOT / "ok_ml").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def test_replaced_words_do_not_come_back() -> None:
    found = [word for path in sources() for word in words_in(path, (ROOT / path).read_text(encoding="utf-8"))]
    help_ = "\n".join(f"  {pattern}: write {instead}" for pattern, instead in REPLACED.items())
    assert not found, "\n".join([*found, help_])


def test_every_exception_is_still_needed() -> None:
    for path, word in ALLOWED:
        assert (ROOT / path).exists(), path
        assert (path, word) in {(path, text) for _, text in texts_of_code(Path(ROOT / path).read_text())}, (path, word)


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("ok_ml/a.py", '"""What mends it."""\n', "mends"),
        ("ok_ml/a.py", "x = 1  # nobody reads it\n", "nobody"),
        ("ok_ml/a.py", 'x = f"{1} was kept"\n', "kept"),
        ("ok_ml/a.py", '"""It cries\nwolf."""\n', "cries wolf"),
        ("docs/a.md", "A gravest error.\n", "gravest"),
        ("docs/a.md", "```sh\nmake run  # what holds it\n```\n", "what holds"),
    ],
)
def test_a_replaced_word_is_found(path: str, text: str, word: str) -> None:
    (found,) = words_in(path, text)
    assert found.endswith(f": {word!r}")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ok_ml/a.py", "kept = [1]\nx = f'{kept}'\n"),
        ("ok_ml/a.py", '"""A function.\n\n    kept\n        Rows.\n    """\nkept = 1\n'),
        ("ok_ml/a.py", '"""Recommends what `kept` is true of."""\n'),
        ("docs/a.md", "```sh\nkept --all\n```\n"),
    ],
)
def test_names_are_no_words(path: str, text: str) -> None:
    assert words_in(path, text) == []
