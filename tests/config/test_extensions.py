"""Code that the YAML names: found, told about without being run, imported anew when its file changes, refused in words."""

from pathlib import Path

import pytest

from ok_ml.config.extensions import load, load_class, modules_to_ship, problem_of, source_of
from ok_ml.config.loader import find_problems, load_project
from ok_ml.config.sections.code_kinds import BUILDERS, ENGINES, FEATURES, RANKERS
from ok_ml.errors import ConfigError
from ok_ml.recommender.ranking.lightgbm_ranker import LightGbmRanker
from ok_ml.recommender.ranking.ranker import Ranker, ranker_class
from ok_ml.recommender.ranking.training_set import CandidatesBuilder, TrainingSetBuilder, create_builder
from ok_ml.recommender.vectors.embeddings import EmbeddingEngine, create_engine
from ok_ml.recommender.vectors.implicit_engine import ImplicitEngine
from tests.small_project import edit, make_project, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def test_short_names_are_the_shipped_classes(root: Path) -> None:
    assert isinstance(create_engine("implicit", root=root), ImplicitEngine)
    assert ranker_class("lightgbm", root) is LightGbmRanker
    assert type(create_builder("candidates", root)) is CandidatesBuilder
    assert [source_of(kind, next(iter(kind.known)), root) for kind in (ENGINES, RANKERS, BUILDERS)] == [None] * 3


@pytest.mark.parametrize("named", ["ideas/one.py:X", "ideas.one:X"])
def test_both_kinds_of_path_name_the_same_file(root: Path, named: str) -> None:
    write(root, "ideas/one.py", "X = 41 + 1\n")
    assert load(FEATURES, named, root) == 42
    assert source_of(FEATURES, named, root).path == root / "ideas/one.py"


def test_a_changed_file_is_new_code_and_has_a_new_hash(root: Path) -> None:
    seen = []
    for text in ("X = 1\n", "X = 2\n", "X = 1\n"):
        write(root, "ideas/one.py", text)
        seen.append((load(FEATURES, "ideas/one.py:X", root), source_of(FEATURES, "ideas/one.py:X", root).sha256))
    assert [value for value, _ in seen] == [1, 2, 1]
    assert seen[0] == seen[2]
    assert seen[0][1] != seen[1][1]


def test_a_changed_import_is_new_code_however_it_is_imported(root: Path) -> None:
    """Of the folder, relatively, and by the __init__.py of its package: what runs is what the hash says."""
    write(root, "plain/one.py", "from plain import helper\nfrom packed.inner import Y\n\nX = (helper.K, *Y)\n")
    write(root, "packed/inner.py", "from . import FIRST\nfrom .deep import D\n\nY = (FIRST, D)\n")
    files = ("plain/helper.py", "K"), ("packed/__init__.py", "FIRST"), ("packed/deep.py", "D")
    for path, name in files:
        write(root, path, f"{name} = 1\n")
    seen = [(load(FEATURES, "plain/one.py:X", root), source_of(FEATURES, "plain/one.py:X", root).sha256)]
    for path, name in files:
        write(root, path, f"{name} = 22\n")
        seen.append((load(FEATURES, "plain/one.py:X", root), source_of(FEATURES, "plain/one.py:X", root).sha256))
    assert [value for value, _ in seen] == [(1, 1, 1), (22, 1, 1), (22, 22, 1), (22, 22, 22)]
    assert len({sha256 for _, sha256 in seen}) == 4


def test_an_import_that_is_no_python_is_told_in_words(root: Path) -> None:
    write(root, "thoughts/one.py", "from thoughts.broken import Y\n\nX = Y\n")
    write(root, "thoughts/broken.py", "Y = = 1\n")
    with pytest.raises(ConfigError, match=r"one\.py fails when it is imported: SyntaxError"):
        load(FEATURES, "thoughts/one.py:X", root)


def test_an_installed_package_is_looked_into_without_running_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "site/loud/__init__.py", "raise SystemExit('it ran')\n")
    write(root, "site/loud/inner/__init__.py", "")
    write(root, "site/loud/inner/one.py", "X = 1\n")
    monkeypatch.syspath_prepend(str(root / "site"))
    assert problem_of(FEATURES, "loud.inner.one:X", root) is None
    assert "found no file for 'loud.none'" in str(problem_of(FEATURES, "loud.none:X", root))
    assert "found no file for 'loud.inner.one.more'" in str(problem_of(FEATURES, "loud.inner.one.more:X", root))


def test_an_installed_module_is_not_imported_anew_for_a_file_of_its_name(root: Path) -> None:
    import decimal

    write(root, "decimal.py", "X = 1\n")
    write(root, "thoughts/one.py", "import decimal\n\nX = decimal.Decimal\n")
    assert load(FEATURES, "thoughts/one.py:X", root) is decimal.Decimal
    assert __import__("sys").modules["decimal"] is decimal


def test_what_a_file_imports_from_the_project_belongs_to_it(root: Path) -> None:
    write(root, "thoughts/one.py", "from thoughts.two import Y\n\nX = Y * 10\n")
    hashes = []
    for number in (1, 2):
        write(root, "thoughts/two.py", f"Y = {number}\n")
        assert load(FEATURES, "thoughts/one.py:X", root) == number * 10
        source = source_of(FEATURES, "thoughts/one.py:X", root)
        hashes.append(source.sha256)
        assert list(source.imports) == ["thoughts.two"]
    assert hashes[0] != hashes[1]
    assert "thoughts.two" in {module.__name__ for module in modules_to_ship()}


@pytest.mark.parametrize(
    ("kind", "named", "told"),
    [
        (ENGINES, "implict", "expected implicit, spark, or a path like ideas/file.py:NAME, got 'implict'; did you mean 'implicit'?"),
        (FEATURES, "night share", "expected a path like ideas/file.py:NAME, got 'night share'"),
        (FEATURES, "ideas/noe.py:X", "found no file for 'ideas/noe.py' below the project; did you mean 'ideas/one.py'?"),
        (FEATURES, "ideas/one.py:ONCE", "named 'ONCE' in ideas/one.py, found ONE, two; did you mean 'ONE'?"),
        (FEATURES, "ideas/bad.py:X", "got bad.py that is no Python: '(' was never closed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_without_running_anything(root: Path, kind, named: str, told: str) -> None:
    write(root, "ideas/one.py", "ONE = print('was run')\n\n\ndef two():\n    pass\n")
    write(root, "ideas/bad.py", "X = (\n")
    assert told in problem_of(kind, named, root)
    with pytest.raises(ConfigError, match=kind.key) as refused:
        load(kind, named, root)
    assert "why it matters" in str(refused.value)
    assert "what to do" in str(refused.value)


def test_the_yaml_s_own_line_is_named(root: Path) -> None:
    features = "features: {activity_days: 10, affinity_days: 9, popularity_days: 14"
    edit(root, "configs/experiments/toy_sources.yml", features, features + ', extra: ["ideas/none.py:X"]')
    [line] = find_problems(root)
    assert line.startswith("configs/experiments/toy_sources.yml:7:80: stages.features.extra[0]: expected a Feature")


def test_options_are_free_scalars_and_sections_are_not(root: Path) -> None:
    model = "model:\n    num_trees: 150\n"
    edit(root, "configs/experiments/toy_sources.yml", model, model + "    options: {l2: 0.5, fast: true, name: x}\n")
    stage = load_project(root).experiments["toy_sources"].stages.model
    assert stage.options == {"l2": 0.5, "fast": True, "name": "x"}
    edit(root, "configs/experiments/toy_sources.yml", "name: x", "name: [x]")
    assert "stages.model.options.name" in find_problems(root)[0]


def test_a_class_that_lacks_methods_is_refused_with_their_names(root: Path) -> None:
    write(
        root,
        "ideas/half.py",
        """\
        from ok_ml.recommender.vectors.embeddings import EmbeddingEngine
        from ok_ml.recommender.ranking.ranker import Ranker


        class Half(Ranker):
            def score(self, features, num_threads):
                return features[:, 0]


        class Stranger:
            def fit(self, interactions, stage, seed):
                return None
        """,
    )
    with pytest.raises(ConfigError, match="does not implement Ranker: it lacks fit, from_bytes, to_bytes"):
        ranker_class("ideas/half.py:Half", root)
    with pytest.raises(ConfigError, match=r"Stranger is the class Stranger, expected a class of .*EmbeddingEngine"):
        load_class(ENGINES, "ideas/half.py:Stranger", root, EmbeddingEngine)
    with pytest.raises(ConfigError, match=r"without build"):
        load_class(BUILDERS, "ideas/half.py:Stranger", root, TrainingSetBuilder)
    with pytest.raises(ConfigError, match=r"is a module, expected|is the class Ranker|does not implement"):
        load_class(RANKERS, "ideas/half.py:Ranker", root, Ranker)


def test_a_file_that_fails_says_where(root: Path) -> None:
    write(root, "ideas/late.py", "X = 1 / 0\n")
    with pytest.raises(ConfigError, match=r"late\.py fails when it is imported: ZeroDivisionError: division by zero"):
        load(FEATURES, "ideas/late.py:X", root)


def test_a_ranker_that_would_not_travel_alone_is_refused(root: Path) -> None:
    write(root, "ideas/helper.py", "Z = 1\n")
    write(root, "ideas/leaning.py", "from ideas.helper import Z\n\nR = Z\n")
    with pytest.raises(ConfigError, match=r"imports ideas\.helper of the project"):
        ranker_class("ideas/leaning.py:R", root)
