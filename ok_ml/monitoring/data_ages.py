"""How old a table's data are: by the newest day that it holds, whenever anything of it was last made.

Dagster calls an asset fresh whose any partition was just materialised, so a backfill of an old day, or old predictions made
again, would hide that no new day has come. Here a table is as old as the arrival of its newest day.
"""

from datetime import datetime

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.lake import WHOLE, Lake

DATA_DT = "data_dt"  # in the details of what was published and went live


def data_day(lake: Lake, scope: str, table: str) -> str | None:
    """The newest day that a table holds; None for what is not by day, and while there is nothing."""
    whole = lake.find(scope, table)
    if whole is not None:
        return whole.details.get(DATA_DT)
    known = [dt for dt in lake.partitions(scope, table) if dt != WHOLE]
    return known[-1] if known else None


def came_at(project: Project, scope: str, table: str) -> float | None:
    """When the newest day of a table came, seconds since 1970: the commit of that day's events.

    None for what is not by day: such a table is as old as it was made.
    """
    dataset = project.dataset_of(scope).dataset if scope in project.experiments else scope
    lake = Lake(project.lake_root)
    dt = data_day(lake, scope, table)
    events = lake.find(dataset, c.EVENTS, dt) if dt is not None else None
    return datetime.fromisoformat(events.committed_at).timestamp() if events is not None else None
