"""Code that an experiment's YAML names: a short name of ours, `package.module:NAME`, or `folder/file.py:NAME`.

Both kinds of path are read below the project's folder first, so that one file there is a whole idea. What a file is
imported as depends on its text: a changed file is new code at once, also in a process that lives on, and the hash that
stands in the record of a table is always that of the code that made it.
"""

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ok_ml.config.problems import meant
from ok_ml.config.sections.code_kinds import Kind
from ok_ml.errors import ConfigError

PREFIX: Final = "ok_ml_extension_"  # of the modules that extension files become
TEXT: Final = "__ok_ml_text__"  # their attribute with the text that they were made from
_SPEC: Final = re.compile(r"(?P<place>[\w./-]+):(?P<name>[A-Za-z_]\w*)")
_OURS: Final = "ok_ml"


@dataclass(frozen=True)
class Source:
    """The file behind a path.

    Attributes
    ----------
    path
        Absolute.
    text
        What it says now.
    imports
        Modules of the project that it imports, and that these import: name -> file.
    """

    path: Path
    text: str
    imports: Mapping[str, Path]

    @property
    def sha256(self) -> str:
        """SHA-256, hex, of the file and of every file of the project that it imports."""
        total = hashlib.sha256(self.text.encode())
        for name, path in sorted(self.imports.items()):
            total.update(f"\0{name}\0".encode() + path.read_bytes())
        return total.hexdigest()


def source_of(kind: Kind, named: str, root: Path) -> Source | None:
    """The file behind a path, None for a short name.

    Raises
    ------
    ConfigError
        Neither a short name nor a path, or nothing is there.
    """
    if named in kind.known:
        return None
    problem = problem_of(kind, named, root)
    if problem:
        raise _refused(kind, problem)
    path = _file_of(named.rpartition(":")[0], root)
    assert path is not None  # noqa: S101 - problem_of would have said so
    text = path.read_text(encoding="utf-8")
    return Source(path, text, _local_imports(text, root))


def problem_of(kind: Kind, named: str, root: Path) -> str | None:
    """What is wrong with a name, without running any of its code; None if nothing is."""
    if named in kind.known:
        return None
    options = f"{', '.join(sorted(kind.known))}, or " if kind.known else ""
    match = _SPEC.fullmatch(named)
    if match is None:
        return f"expected {options}a path like ideas/file.py:NAME, got {named!r}{meant(named, kind.known)}"
    place, name = match["place"], match["name"]
    path = _file_of(place, root)
    if path is None:
        near = sorted(p.relative_to(root).as_posix() for p in root.glob("*/*.py") if not p.parent.name.startswith("."))
        return f"expected {kind.what}, found no file for {place!r} below the project{meant(place, near)}"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        return f"expected {kind.what}, got {path.name} that is no Python: {error}"
    names = set(_top_level(tree))
    if name not in names and "*" not in names:
        return f"expected {kind.what} named {name!r} in {place}, found {', '.join(sorted(names)) or 'nothing'}{meant(name, names)}"
    return None


def load(kind: Kind, named: str, root: Path) -> Any:
    """Import what a short name or a path means.

    Raises
    ------
    ConfigError
        It is not there, or its file fails when it is imported.
    """
    source = source_of(kind, named, root)
    path, _, name = kind.known.get(named, named).rpartition(":")
    module = importlib.import_module(path) if source is None else _module_of(kind, source, path, root)
    if not hasattr(module, name):
        raise _refused(kind, f"{named}: {module.__name__} has no {name!r}{meant(name, vars(module))}")
    return getattr(module, name)


def load_class(kind: Kind, named: str, root: Path, interface: type) -> Any:
    """As `load`, of something that must implement an abstract class.

    Raises
    ------
    ConfigError
        It is no class of the interface, or lacks some of its methods; they are named.
    """
    return require_class(kind, load(kind, named, root), named, interface)


def require_class(kind: Kind, named_class: Any, named: str, interface: type) -> Any:
    """Refuse what does not implement the interface."""
    wanted = sorted(getattr(interface, "__abstractmethods__", ()))
    if not isinstance(named_class, type) or not issubclass(named_class, interface):
        lacking = [name for name in wanted if not callable(getattr(named_class, name, None))]
        raise _refused(
            kind,
            f"{named} is {_shown(named_class)}, expected a class of {interface.__module__}.{interface.__name__}"
            f" (without {', '.join(lacking) or 'its base class'})",
        )
    missing = sorted(getattr(named_class, "__abstractmethods__", ()))
    if missing:
        raise _refused(kind, f"{named} does not implement {interface.__name__}: it lacks {', '.join(missing)}")
    return named_class


def module_of_text(text: str, path: Path, what: str, *, sha256: str) -> ModuleType:
    """The module that a text is: run once, under a name that its hash decides.

    Raises
    ------
    ConfigError
        It fails.
    """
    name = f"{PREFIX}{path.stem}_{sha256[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = ModuleSpec(name, None, origin=str(path))
    setattr(module, TEXT, text)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102 - the project's own code, named in its YAML
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"{what}: {path.name} fails when it is imported: {type(error).__name__}: {error}",
            why="nothing of it can be used",
            remedy=f"correct it; `python {path}` shows the whole traceback",
        ) from error
    return module


def modules_to_ship() -> list[ModuleType]:
    """Loaded modules that other machines may not have: what extension files became, and what of the project they import."""
    return [module for name, module in list(sys.modules.items()) if name.startswith(PREFIX) or name in _IMPORTED]


_IMPORTED: Final[set[str]] = set()  # modules of projects that extension files import


def _module_of(kind: Kind, source: Source, place: str, root: Path) -> ModuleType:
    if str(root) not in sys.path:
        sys.path.append(str(root))  # last: nothing installed is hidden by a file of the project
    if not place.endswith(".py") and not source.path.is_relative_to(root.resolve()):
        return importlib.import_module(place)
    if f"{PREFIX}{source.path.stem}_{source.sha256[:16]}" not in sys.modules:
        for name, path in source.imports.items():  # they may be other files by now
            _forget(name, path)
        importlib.invalidate_caches()
        _IMPORTED.update(source.imports)
    with _without_bytecode():
        return module_of_text(source.text, source.path, kind.key, sha256=source.sha256)


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Leave no bytecode of the project's files: Python takes it for current when a file changes within a second."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _forget(name: str, path: Path) -> None:
    """Let the next import read a module of the project again; its folder's module must not hand out the old one."""
    known = sys.modules.get(name)
    if known is None or Path(getattr(known, "__file__", None) or "").resolve() != path.resolve():
        return  # an installed module of the same name stays
    del sys.modules[name]
    folder, _, own = name.rpartition(".")
    if vars(sys.modules.get(folder, sys)).get(own) is known:
        delattr(sys.modules[folder], own)


def _file_of(place: str, root: Path) -> Path | None:
    """The file of `folder/file.py` or `package.module`: of the project if it has one, else of an installed package."""
    if place.endswith(".py"):
        path = Path(place) if Path(place).is_absolute() else root / place
        return path.resolve() if path.is_file() else None
    if "/" in place:
        return None
    below = _below(place, root)
    if below is not None:
        return below.resolve()
    spec = _installed(place)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _installed(name: str) -> ModuleSpec | None:
    """The spec of an installed module; unlike `find_spec` of a dotted name it imports none of the packages above."""
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for piece in below:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{piece}", list(spec.submodule_search_locations))
    return spec


def _local_imports(text: str, root: Path) -> dict[str, Path]:
    """Modules of the project that a text imports, and what these import; packages run the __init__.py above a module too."""
    paths: dict[str, Path] = {}
    waiting = [(text, "")]
    while waiting:
        for name in _imported(*waiting.pop()):
            path = None if name in paths or name.split(".")[0] == _OURS else _below(name, root)
            if path is not None:
                paths[name] = path
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                waiting.append((path.read_text(encoding="utf-8", errors="replace"), package))
    return paths


def _imported(text: str, package: str) -> Iterator[str]:
    """Names of modules, those above each one before it; of a broken file none: whoever imports it gets the error."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):
        return
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            pieces = name.split(".")
            yield from (".".join(pieces[:end]) for end in range(1, len(pieces) + 1))


def _below(name: str, root: Path) -> Path | None:
    below = root.joinpath(*name.split("."))
    return next((path for path in (below.with_suffix(".py"), below / "__init__.py") if path.is_file()), None)


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif not isinstance(node, ast.Expr):
            yield "*"  # an `if` or a loop may define anything


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _refused(kind: Kind, problem: str) -> ConfigError:
    return ConfigError(
        f"{kind.key}: {problem}",
        why="the experiment would run without the code that its YAML names",
        remedy=f"name {kind.what} of a file below the project's folder, e.g. ideas/file.py:NAME; see docs/extend.md",
    )
