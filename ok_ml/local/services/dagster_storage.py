"""Dagster's SQLite storage below a folder whose name an address cannot carry as it is.

Dagster puts the path into an SQLAlchemy address as it is, which reads `%20` in it as a blank and `?` as the beginning of options.
Every process that loads such an instance imports this module, since its `dagster.yaml` names the class.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dagster._core.storage import sqlite
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData


def _address(base_dir: str, db_name: str) -> str:
    return f"sqlite:///{quote(os.path.abspath(base_dir))}/{db_name}.db"  # noqa: PTH100 - as Dagster itself does


for _module in (sqlite, sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
    vars(_module)["create_db_conn_string"] = _address


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's own, with addresses that are escaped."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> "SqliteStorage":
        """See `DagsterSqliteStorage`, which makes one of its own class."""
        return cls.from_local(inst_data=inst_data, **config_value)
