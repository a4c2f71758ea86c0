"""The days of a dataset, whatever its rows are: which there are, which have to be made, and by which tables."""

from pathlib import Path

from ok_ml import columns as c
from ok_ml.config.models import DatasetBase, DatasetConfig, TextsConfig
from ok_ml.lake import Lake


def dataset_tables(dataset: DatasetBase) -> tuple[str, ...]:
    """Everything that is made of a day's delivery, in order; the simulated network's own log first."""
    raw = (c.RAW_LOG,) if dataset.world is not None else ()
    return (*raw, *c.DATASET_TABLES, *c.DATASET_SERIES) if isinstance(dataset, DatasetConfig) else (*raw, c.TEXTS)


def wanted_and_stale(dataset: DatasetBase, lake: Lake, *, root: Path) -> tuple[list[str], list[str]]:
    """The days that should be committed, and those of them that are missing or made from other input, ascending."""
    if isinstance(dataset, TextsConfig):
        from ok_ml.datasets.texts import stale_texts
        from ok_ml.world.log.posts import days_to_simulate

        wanted, stale = stale_texts(dataset, lake, root=root)
        return wanted, sorted({*stale, *days_to_simulate(dataset, lake, wanted)})
    from ok_ml.datasets.canonical.ingest import stale_partitions
    from ok_ml.world.log.raw_log import days_of_another_world

    log = _log(dataset)
    wanted, stale = stale_partitions(log, lake, root=root)
    return wanted, sorted({*stale, *days_of_another_world(log, lake, wanted)})


def version_of(dataset: DatasetBase, lake: Lake, dts: list[str], *, root: Path) -> str:
    """Changes with everything that some days are made from."""
    if isinstance(dataset, TextsConfig):
        from ok_ml.datasets.texts import text_days

        return text_days(dataset, lake, root).fingerprint(dts)
    from ok_ml.datasets.canonical.deliveries import raw_events
    from ok_ml.datasets.canonical.ingest import event_days

    return event_days(raw_events(_log(dataset), lake, root)).fingerprint(dts)


def paths_of(dataset: DatasetBase) -> list[str]:
    """The raw paths that its YAML names."""
    return [one.path for one in dataset.raw_tables]


def _log(dataset: DatasetBase) -> DatasetConfig:
    assert isinstance(dataset, DatasetConfig)  # noqa: S101 - there are no other kinds
    return dataset
