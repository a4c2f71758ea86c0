"""What the checks ask of a dataset's newest partition: section `checks` of configs/datasets/<name>.yml.

No field of it enters the record of what is trained: a changed limit judges again, and recomputes nothing.
"""

from typing import Final, Literal

from pydantic import Field, field_validator

from ok_ml import columns as c
from ok_ml.config.sections.expectation_models import DatasetExpectations
from ok_ml.config.sections.frozen import Frozen, Share

Severity = Literal["warn", "block"]
Category = Literal["event_type", "content_type", "segment", "kind", "topic"]

# Columns that may be null, by table; the others never are.
NULLABLE: Final[dict[str, tuple[str, ...]]] = {
    c.EVENTS: (c.POSITION, c.CONTENT_TYPE, c.DURATION_MS, c.GENERATION),
    c.USERS: (c.NAME, c.SEGMENT, c.REGISTERED_DT),
    c.SOURCES: (c.NAME, c.TOPIC, c.KIND, c.CREATED_DT),
}
TABLE_OF_CATEGORY: Final[dict[str, str]] = {
    c.EVENT_TYPE: c.EVENTS, c.CONTENT_TYPE: c.EVENTS, c.SEGMENT: c.USERS, c.KIND: c.SOURCES, c.TOPIC: c.SOURCES,
}  # fmt: skip


class VolumeCheck(Frozen):
    """Rows of the newest partition against the same weekday of the weeks before, as ratios to their median."""

    weeks: int = Field(default=4, ge=1, le=52, description="Weeks looked back; months where a partition is a month.")
    low_warn: Share = Field(default=0.5, description="Least ratio; 0: any.")
    high_warn: float | None = Field(default=2.0, gt=1, description="Largest ratio; none: any.")
    low_block: Share = Field(default=0.0, description="Least ratio that does not block; 0: any.")
    high_block: float | None = Field(default=None, gt=1, description="Largest ratio that does not block; none: any.")
    snapshots_low_warn: Share = Field(
        default=0.9, description="Least ratio of users, sources, subscriptions, friends to the partition before."
    )


class NullLimits(Frozen):
    """Share of rows from which something warns, and blocks."""

    warn: Share = Field(default=0.0, description="More than this warns.")
    block: Share | None = Field(default=None, description="More than this blocks; none: it never does.")


class Categories(Frozen):
    """Which words a column of categories may hold, and which it must."""

    allowed: tuple[str, ...] = Field(
        default=(), description="Any other word is a finding; empty: every word is allowed."
    )
    required: tuple[str, ...] = Field(default=(), description="Words that occur in every partition.")
    severity: Severity = "warn"


class DataTimeCheck(Frozen):
    """How new the newest partition is, by the time of its events."""

    quiet_hours: float | None = Field(
        default=6.0, gt=0, description="Longest time without an event at the end of a day; none, or months: any."
    )
    missing: int | None = Field(
        default=0, ge=0, description="Most partitions missing between the newest one and the one before; none: any."
    )
    max_age_hours: float | None = Field(
        default=None, gt=0, description="Hours since the end of the newest partition, by the wall clock; none: any."
    )
    severity: Severity = "warn"


class DatasetChecks(Frozen):
    """Declared checks of a dataset."""

    rejected_warn: Share = Field(default=0.05, description="Share of the day's raw rows set aside that warns.")
    volume: VolumeCheck = VolumeCheck()
    null_share: dict[str, NullLimits] = Field(
        default_factory=dict, description="column of events, or users.COLUMN, sources.COLUMN -> limits of its nulls."
    )
    categories: dict[Category, Categories] = Field(default_factory=dict, description="column -> its words.")
    repeated: NullLimits = Field(
        default=NullLimits(warn=0.01), description="Share of raw rows that events.unique_by set aside as repeated."
    )
    keys: Severity = Field(default="block", description="A user, source or pair that stands twice in a snapshot.")
    columns: Severity = Field(default="block", description="A column or type of a table that is not as declared.")
    data_time: DataTimeCheck = DataTimeCheck()
    expectations: tuple[DatasetExpectations, ...] = Field(
        default=(), description="Expectations of Great Expectations, by table."
    )
    product_fall: float = Field(
        default=4.5,
        gt=0,
        description="Score below its band of active users, their reactions, likes, comments or time; a normal "
        "score, of few numbers, hence lower than the limit of all series.",
    )

    @field_validator("null_share")
    @classmethod
    def _columns_may_be_null(cls, value: dict[str, NullLimits]) -> dict[str, NullLimits]:
        known = [
            name if table == c.EVENTS else f"{table}.{name}" for table, names in NULLABLE.items() for name in names
        ]
        for name in value:
            if name not in known:
                raise ValueError(f"null_share: {name!r} cannot be null or is not known: one of {', '.join(known)}")
        return value
