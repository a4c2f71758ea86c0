"""What knows one pipeline type lives in that type's folder: nothing else in the product names one."""

import re

import pytest

from ok_ml.config.pipeline_types import find_type, model_of, problem_of_type, shipped_types, starter_type
from ok_ml.errors import ConfigError
from tests.small_project import ROOT

TYPES = sorted(shipped_types())


def test_there_are_three() -> None:
    assert TYPES == ["matrix_factorisation", "source_recommendation", "text_classification"]


@pytest.mark.parametrize("name", TYPES)
def test_nothing_outside_its_folder_names_it(name: str) -> None:
    words = re.compile(rf"\b(?:{name}|{name.title().replace('_', '')})\b")
    named = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "ok_ml").rglob("*.py"))
        if not path.is_relative_to(ROOT / "ok_ml" / "pipelines" / name)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert named == []


@pytest.mark.parametrize("name", TYPES)
def test_its_settings_are_those_of_its_type(name: str) -> None:
    """They are read without the stages, and so said in two places that have to agree."""
    assert model_of(name, ROOT) is find_type(name, ROOT).config
    assert find_type(name, ROOT).name == name
    assert problem_of_type(name, ROOT) is None


def test_a_dataset_of_each_kind_begins_with_a_type() -> None:
    assert [starter_type(kind, ROOT) for kind in ("events", "texts")] == [
        "source_recommendation",
        "text_classification",
    ]
    with pytest.raises(ConfigError, match="no pipeline type begins with a dataset of pictures"):
        starter_type("pictures", ROOT)


def test_an_unknown_type_is_told_with_the_known_ones() -> None:
    told = problem_of_type("source_recomendation", ROOT)
    assert told is not None
    assert "expected matrix_factorisation, source_recommendation, text_classification, or a path" in told
    assert "did you mean 'source_recommendation'" in told
