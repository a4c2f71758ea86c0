"""One run of one contestant of `bench.targets.ingest`, in a process of its own: prints its seconds and its peak memory."""

import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson

from ok_ml.config.models import DatasetConfig
from ok_ml.machine.memory import MemoryWatch

COLUMNS = ("userId", "ownerId", "objectId", "action", "pos", "timestampMs")


def main() -> int:
    """Run what the arguments name: contestant, format, file, folder."""
    name, form, path, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    prepare = {"ours": _ours, "polars": _polars, "Spark, local[2]": _spark}[name]
    with MemoryWatch(0.02) as watch:
        work = prepare(form, path, out)
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
    sys.stdout.write(orjson.dumps({"seconds": seconds, "peak_mib": watch.peak_mib}).decode() + "\n")
    shutil.rmtree(out, ignore_errors=True)
    return 0


def dataset(form: str, path: Path) -> DatasetConfig:
    """The mapping of the log."""
    return DatasetConfig.model_validate(
        {
            "dataset": "bench",
            "description": "",
            "owners": ["a@example.org"],
            "has_impressions": True,
            "weights": {"like": 1.0},
            "grades": {"like": 2},
            "events": {
                "path": str(path),
                "format": form,
                "columns": {
                    "user_id": "userId",
                    "source_id": "ownerId",
                    "item_id": "objectId",
                    "event_type": "action",
                    "position": "pos",
                },
                "event_types": {
                    "show": "impression",
                    "click": "click",
                    "like": "like",
                    "comment": "comment",
                    "reshare": "share",
                },
                "time": {"columns": ["timestampMs"], "format": "epoch_ms"},
            },
        }
    )


def _ours(form: str, path: Path, out: Path) -> Callable[[], object]:
    from ok_ml.datasets.canonical.dataset_calendar import partitions_of
    from ok_ml.datasets.canonical.ingest import ingest_events
    from ok_ml.lake import Lake

    config, lake = dataset(form, path), Lake(out)
    return lambda: ingest_events(config, lake, partitions_of(config, lake, root=out), root=out)


def _polars(form: str, path: Path, out: Path) -> Callable[[], object]:
    import polars as pl

    scans: dict[str, Callable[[Path], pl.LazyFrame]] = {
        "parquet": pl.scan_parquet,
        "csv": pl.scan_csv,
        "jsonl": pl.scan_ndjson,
    }
    scan = scans[form]

    def run() -> None:
        day = pl.from_epoch("timestampMs", time_unit="ms").dt.date().alias("dt")
        scan(path).select(*COLUMNS, day).sink_parquet(pl.PartitionBy(out / "polars", key="dt"), mkdir=True)

    return run


def _spark(form: str, path: Path, out: Path) -> Callable[[], object]:
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(out / "warehouse"))
        .getOrCreate()
    )
    session.range(1).count()
    kinds = "userId long, ownerId long, objectId long, action string, pos int, device string, timestampMs long"
    read = {
        "parquet": session.read.parquet,
        "csv": partial(session.read.schema(kinds).csv, header=True),
        "jsonl": session.read.schema(kinds).json,
    }[form]

    def run() -> None:
        day = f.to_date(f.timestamp_millis("timestampMs")).alias("dt")
        read(str(path)).select(*COLUMNS, day).repartition("dt").write.partitionBy("dt").parquet(str(out / "spark"))

    return run


if __name__ == "__main__":
    sys.exit(main())
