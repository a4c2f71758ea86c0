"""The names of Dagster that it does not offer in public and that are used here on purpose; no other module imports one.

`pyproject.toml` bounds Dagster's version above: a new one is taken up by looking at this list.
"""

from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster_shared.record import copy

__all__ = [
    "COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES",
    "GRPC_INFO_TAG",
    "AssetCheckExecutionRecord",
    "AssetCheckExecutionRecordStatus",
    "DagsterExecutionInterruptedError",
    "FreshnessState",
    "RepositoryDefinition",
    "UnresolvedAssetJobDefinition",
    "copy",
]
