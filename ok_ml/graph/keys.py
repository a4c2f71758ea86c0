"""Asset keys, groups and job names: where assets, checks, sensors and commands meet.

Every asset has the key ``<scope>/<table>``; the scope is a dataset or an experiment.
"""

from typing import Final

import dagster as dg

ONLINE_QUALITY: Final = "online_quality"  # the check of online_metrics that asks for a training
NOTHING_JUDGED: Final = "nothing_judged"  # in the metadata of a check: it did not fail, there was nothing to judge
IN_SHORT: Final = "in_short"  # in the metadata of a failed check: what is wrong in one line

DATA: Final = "data"  # groups of assets; those of an experiment are its phases
MONITORING: Final = "monitoring"
_GROUPS: Final = {
    DATA: "1_data",
    "daily": "2_features",
    "training": "3_training",
    "serving": "4_serving",
    MONITORING: "5_monitoring",
}


def asset_key(scope: str, table: str) -> dg.AssetKey:
    """The key of a table of a dataset or of an experiment."""
    return dg.AssetKey([scope, table])


def group(scope: str, kind: str) -> str:
    """The nested, numbered group of a dataset's or an experiment's tables: ``2_features/prod_discovery``."""
    return f"{_GROUPS[kind]}/{scope}"


def op_name(scope: str, table: str) -> str:
    """The name of the op behind an asset; unique in the code location."""
    return f"{scope}__{table}"


def partitions_name(dataset: str) -> str:
    """The name of a dataset's dynamic partitions: its committed days."""
    return f"{dataset}_dt"


def days(dataset: str) -> dg.DynamicPartitionsDefinition:
    """A dataset's committed days as the partitions of its assets.

    Not Dagster's daily partitions, although their windows could be mapped: those follow the wall clock. A log of 2011 would
    show 5,000 missing days, one with holes has days that never come, and the days of a simulated network pass in minutes
    and beyond today. What a stage reads of other days stands in its metadata `reads` and, with days, in `partitions_read` of each
    materialisation.
    """
    return dg.DynamicPartitionsDefinition(name=partitions_name(dataset))


def ingest_job(dataset: str) -> str:
    """The job that brings new days of a dataset up to the checked features."""
    return f"ingest_{dataset}"


def batch_job(experiment: str) -> str:
    """The job that predicts, publishes and goes live."""
    return f"batch_{experiment}"


def train_job(experiment: str) -> str:
    """The job that trains, evaluates and promotes."""
    return f"train_{experiment}"
