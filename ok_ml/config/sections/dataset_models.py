"""What the raw data are and how they become canonical: configs/datasets/<name>.yml."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from ok_ml import columns as c
from ok_ml.config.sections.check_models import DatasetChecks
from ok_ml.config.sections.frozen import Frozen, Share
from ok_ml.config.sections.row_conditions import parse_condition
from ok_ml.config.sections.topic_models import TopicConfig, is_topic

RawFormat = Literal["parquet", "csv", "tsv", "jsonl"]
BLANKS = "blanks"  # as a delimiter: any number of blanks and tabs
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\t")
EXACT, NUMBER, UUID_TEXT, CASE = "exact", "number", "uuid", "case"  # of IdSpelling
IdSpelling = Literal["exact", "number", "uuid", "case"]


def _written_out(delimiter: str) -> str:
    r"""A delimiter with ``\x01``, ``\u0001`` and ``\t`` as the characters that they stand for."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or "9", 16)), delimiter)
    if not 1 <= len(text) <= 16 or set(text) & set('"\r\n'):
        raise ValueError(
            f"expected 1 to 16 characters without double quotes and line ends (, or :: or \\x01), or {BLANKS} for any number"
            f" of blanks and tabs; got {delimiter!r}"
        )
    return text


Delimiter = Annotated[str, AfterValidator(_written_out)] | None

# table -> canonical columns that a mapping must name, and those that it may name; the event time has its own section
CANONICAL_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    c.EVENTS: (
        (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE),
        (c.POSITION, c.CONTENT_TYPE, c.DURATION_MS, c.GENERATION),
    ),
    c.USERS: ((c.USER_ID,), (c.NAME, c.SEGMENT, c.REGISTERED_DT)),
    c.SOURCES: ((c.SOURCE_ID,), (c.NAME, c.TOPIC, c.KIND, c.CREATED_DT)),
    c.SUBSCRIPTIONS: ((c.USER_ID, c.SOURCE_ID), ()),
    c.FRIENDS: ((c.USER_ID, c.FRIEND_ID), ()),
}


class Incident(Frozen):
    """Something that goes wrong in the simulated log on one day."""

    day: int = Field(ge=0, description="Day index from the world's start.")
    kind: Literal[
        "shift", "nulls", "late", "half", "doubled", "misjoined", "offset", "scale", "unit", "null_burst",
        "constant", "outliers", "sign_flip", "swapped", "repeated_day", "missing", "truncated", "new_category",
        "dead_category", "id_shift", "clock", "stale_join", "collapse", "leak",
    ]  # fmt: skip
    size: float = Field(
        default=1.0,
        description="Factor of the time spent for shift and scale, its standard deviations for offset, hours for clock, share "
        "of users for id_shift, share of rows for nulls, late, misjoined, null_burst, outliers, sign_flip, truncated, "
        "new_category, collapse and leak; unused otherwise.",
    )


class TasteChange(Frozen):
    """From one day on some users like something else: a true change, which no check of the data may block."""

    day: int = Field(ge=0, description="Day index from the world's start.")
    share: Share = Field(default=1.0, description="Users whose every interest moves to another topic.")


class WorldConfig(Frozen):
    """Scale and parameters of the simulated social network."""

    seed: int = 7
    start: str = Field(description="First day, ISO date; a Monday keeps the weekly rhythm readable.")
    days: int = Field(ge=8, description="Days that `make run` commits.")
    users: int = Field(ge=100, description="Users registered within the first 28 days; growth continues at their rate.")
    sources: int = Field(ge=50, description="Groups and authors ever alive within the first 28 days; births continue.")
    topics: int = Field(default=24, ge=4)
    users_per_block: int = Field(default=1000, ge=50, description="Users generated together: the unit of randomness.")
    incidents: tuple[Incident, ...] = ()
    taste_changes: tuple[TasteChange, ...] = ()
    behaviour: dict[str, float] = Field(
        default_factory=dict, description="Overrides of ok_ml.world.parameters.Behaviour."
    )


class FileShape(Frozen):
    """Where the files of a raw table are, and how they are written."""

    path: str = Field(
        description="Path, glob, package:NAME/FILE or world:TABLE; ${VARIABLE} is taken from the environment, {dt} "
        "stands for the partition if each has files of its own; relative paths are below the project."
    )
    format: RawFormat = Field(default="parquet", description="How its files are written.")
    encoding: str = Field(default="utf-8", description="Text encoding of csv, tsv and jsonl.")
    quoting: bool = Field(default=True, description="Whether double quotes mean anything in csv and tsv.")
    delimiter: Delimiter = Field(
        default=None, description="Between the fields of csv, one character or several; default: a comma."
    )
    header: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Column names of csv and tsv files that have no line of names."
    )


class JoinMapping(FileShape):
    """Columns looked up in another raw table, row by row; those that it is joined by are unique there."""

    match: dict[str, str] = Field(min_length=1, description="column of the row -> column there: equal values join.")
    columns: tuple[str, ...] = Field(min_length=1, description="Columns taken from there, under their own names.")
    missing: str | None = Field(default=None, description="Reason to set aside a row without partner; none: nulls.")


class TableMapping(FileShape):
    """How one raw table becomes a canonical table."""

    columns: dict[str, str] = Field(description="canonical column -> raw column.")
    constants: dict[str, str] = Field(default_factory=dict, description="canonical column -> fixed value.")
    drop_if: dict[str, str] = Field(
        default_factory=dict,
        description="reason -> condition that sets a row aside: see ok_ml.config.sections.row_conditions.",
    )
    joins: tuple[JoinMapping, ...] = Field(default=(), description="Lookups in other raw tables, before anything else.")
    hash_ids: tuple[str, ...] = Field(
        default=(), description="Canonical id columns whose raw values are texts: the id is 63 bits of their XXH3 hash."
    )
    id_spelling: dict[str, IdSpelling] = Field(
        default_factory=dict,
        description="Column of hash_ids -> which texts are one id. Without it blanks and quotes around do not count and 60.0 is "
        "60; number: 060 and +60 are 60 too; uuid: with or without dashes and braces, in either case; case: in either case or Unicode form; "
        "exact: each text is an id of its own.",
    )

    @field_validator("drop_if")
    @classmethod
    def _conditions_parse(cls, value: dict[str, str]) -> dict[str, str]:
        for reason, condition in value.items():
            try:
                parse_condition(condition)
            except ValueError as error:
                raise ValueError(f"{reason}: {error}") from error
        return value

    @model_validator(mode="after")
    def _spelling_is_of_texts(self) -> "TableMapping":
        if wrong := sorted(set(self.id_spelling) - set(self.hash_ids)):
            raise ValueError(f"id_spelling: {wrong[0]!r} is not among hash_ids: what is no text has one spelling")
        return self


class TimeMapping(Frozen):
    """How the event time is read."""

    columns: tuple[str, ...] = Field(description="One raw column, or year, month, day columns in this order.")
    format: str | tuple[str, ...] = Field(
        default="auto",
        description="auto (timestamps, dates, ISO 8601 text), epoch_s, epoch_ms, epoch_us, epoch_ns, epoch_d (days), epoch "
        "(the unit by the size of each number), or a strptime format; of a list each value is read by the first that can.",
    )
    origin: str | None = Field(
        default=None, description="ISO time, UTC, from which epoch_* counts; default 1970-01-01."
    )
    timezone: str = Field(default="UTC", description="Zone of times that do not name their own; days are always UTC.")
    min_date: str | None = Field(default=None, description="Rows before it are set aside.")
    max_date: str | None = Field(default=None, description="Rows from it on are set aside.")
    future_days: int | None = Field(
        default=1,
        ge=0,
        description="Rows whose partition begins more than so many days after today (UTC) are set aside, since a typed "
        "2105 would make a partition decades ahead; none: never. Does not hold for a simulated log.",
    )

    @model_validator(mode="after")
    def _one_column_or_three(self) -> "TimeMapping":
        if len(self.columns) not in (1, 3):
            raise ValueError(f"columns: expected one column, or year, month, day; received {len(self.columns)}")
        if self.origin is not None:
            datetime.fromisoformat(self.origin)
        for day in (self.min_date, self.max_date):
            if day is not None:
                date.fromisoformat(day)
        return self


class ReactionsMapping(Frozen):
    """A raw column that lists what the user did with what the row shows: each item is an event in addition to the row's own.

    Such an event has the row's user, source, item, content type and time; position and duration stay with the row.
    """

    column: str = Field(description="list<string> in Parquet, else text: a JSON array, or words between separators.")
    separator: str = Field(default=",", min_length=1, description="Between the words of a text that is no JSON array.")
    event_types: dict[str, str | None] = Field(
        min_length=1, description="item -> canonical event type; null: no event. Any other item is set aside, alone."
    )


class EventsMapping(TableMapping):
    """How the raw log becomes events."""

    time: TimeMapping
    topic: TopicConfig | None = Field(
        default=None, description="When a day of a Kafka topic (path topic: or topic:NAME) is complete."
    )
    event_types: dict[str, str] = Field(default_factory=dict, description="raw event type -> canonical event type.")
    content_types: dict[str, str] = Field(
        default_factory=dict, description="raw content type -> its name here; features know video, photo and text."
    )
    reactions: ReactionsMapping | None = Field(
        default=None, description="Reactions that a row of their impression lists in one column."
    )
    unique_by: tuple[str, ...] = Field(
        default=(),
        description="Raw columns, an event id say: of one user's rows in a partition with equal values the first one "
        "counts, the others are set aside as repeated; rows with a null there are never repeated.",
    )

    @model_validator(mode="after")
    def _event_types_are_canonical(self) -> "EventsMapping":
        constant = self.constants.get(c.EVENT_TYPE)
        listed = self.reactions.event_types.values() if self.reactions is not None else ()
        for name in (*self.event_types.values(), *listed, constant):
            if name is not None and name not in c.EVENT_TYPES:
                raise ValueError(f"event type {name!r} is not canonical: one of {', '.join(c.EVENT_TYPES)}")
        return self


class SubscriptionsMapping(TableMapping):
    """How raw rows become subscriptions."""

    seen_if: str | None = Field(
        default=None,
        description="Condition as in drop_if, for rows that tell the state of some pairs and not of all: a pair counts "
        "from the partition on in which a row of it meets the condition, until in a later one its rows do not.",
    )

    @field_validator("seen_if")
    @classmethod
    def _condition_parses(cls, value: str | None) -> str | None:
        if value is not None:
            parse_condition(value)
        return value


class SubscriptionRule(Frozen):
    """What "subscribed" means in this dataset."""

    event_types: tuple[str, ...] = Field(
        default=("subscribe",), description="Events that subscribe a user to a source."
    )
    ended_by: tuple[str, ...] = Field(default=("unsubscribe",), description="Events that end a subscription.")


class PartitionConfig(Frozen):
    """How a dataset is cut into partitions, and which of them count."""

    grain: Literal["day", "month"] = Field(default="day", description="Length of a partition; days are UTC days.")
    start: str | None = Field(
        default=None, description="First partition, ISO date; default: the first one in the data."
    )
    end: str | None = Field(default=None, description="Last partition, ISO date, inclusive; default: the last one.")
    partial_last_day: Literal["keep", "leave_out"] = Field(
        default="keep",
        description="Whether a last day in which the log breaks off is a partition: left out, it becomes one when it is whole or "
        "a later day follows. For logs of files cut into days; see ok_ml.datasets.canonical.partial_days.",
    )
    delivery_slack_days: int = Field(
        default=0,
        ge=0,
        le=31,
        description="For paths with {dt}: a row delivered with another partition, at most so many days away, finds its "
        "own one, where 0 would set it aside as late. 1 suits folders cut in another time zone.",
    )


class DatasetBase(Frozen):
    """What every dataset has, whatever its rows are about."""

    dataset: str
    description: str
    owners: tuple[str, ...] = Field(min_length=1)
    parts: int = Field(default=8, ge=1, le=4096, description="Parts of the entity hash.")
    partition: PartitionConfig = PartitionConfig()
    world: WorldConfig | None = Field(
        default=None, description="Set for the simulated network, whose raw log is world:TABLE."
    )
    freshness_hours: float = Field(default=26.0, gt=0, description="Age at which the newest partition is stale, hours.")
    checks: Any = None

    @property
    def kind(self) -> str:
        """The canonical table whose partitions are its days; an experiment names a dataset under it."""
        raise NotImplementedError

    @property
    def raw_tables(self) -> tuple[TableMapping, ...]:
        """Every raw table that its YAML names."""
        raise NotImplementedError

    @property
    def arrives(self) -> bool:
        """Whether its days are committed by a collector of a topic."""
        return False

    @model_validator(mode="after")
    def _world_paths_need_a_world(self) -> "DatasetBase":
        if self.world is None and any(table.path.startswith("world:") for table in self.raw_tables):
            raise ValueError("a path world:TABLE reads the simulated log, so the dataset needs a `world` section")
        return self


class TextsMapping(TableMapping):
    """How one raw table becomes texts."""

    time: TimeMapping | None = Field(default=None, description="When each text was written; none: all on `date`.")
    date: str = Field(default="2000-01-01", description="The one partition of texts without a time, ISO date.")


class TextChecks(Frozen):
    """What a day of texts must look like."""

    rejected_warn: Share = Field(default=0.05, description="Share of rows set aside that warns.")


class TextsConfig(DatasetBase):
    """Texts, of which some or all have a label: messages, headlines, posts."""

    texts: tuple[TextsMapping, ...] = Field(min_length=1, description="Raw tables; each may have a constant label.")
    checks: TextChecks = TextChecks()

    @property
    def kind(self) -> str:
        """Texts."""
        return c.TEXTS

    @property
    def raw_tables(self) -> tuple[TableMapping, ...]:
        """Those of its texts."""
        return self.texts

    @model_validator(mode="after")
    def _columns_are_canonical(self) -> "TextsConfig":
        optional = (c.TEXT_ID, c.LABEL)
        for number, mapping in enumerate(self.texts):
            given = {*mapping.columns, *mapping.constants}
            if unknown := sorted(given - {c.TEXT, *optional}):
                raise ValueError(
                    f"texts[{number}]: {unknown[0]!r} is not a canonical column: one of {', '.join((c.TEXT, *optional))}"
                )
            if c.TEXT not in mapping.columns:
                raise ValueError(f"texts[{number}]: columns must name {c.TEXT!r}")
        return self


class DatasetConfig(DatasetBase):
    """One log and its snapshots, simulated or real."""

    events: EventsMapping
    users: TableMapping | None = None
    sources: TableMapping | None = None
    friends: TableMapping | None = None
    subscriptions: SubscriptionsMapping | None = Field(
        default=None, description="Raw snapshots, one a partition; else derived by `subscription`."
    )
    subscription: SubscriptionRule = SubscriptionRule()
    has_impressions: bool = Field(description="Whether the log says what was shown and not reacted to.")
    weights: dict[str, float] = Field(description="event type -> strength of interest, for embeddings and affinity.")
    grades: dict[str, int] = Field(description="event type -> relevance grade (0 none .. 4) of labels and metrics.")
    checks: DatasetChecks = DatasetChecks()

    @property
    def kind(self) -> str:
        """Events."""
        return c.EVENTS

    @property
    def raw_tables(self) -> tuple[TableMapping, ...]:
        """Events, and the snapshots that have one."""
        tables = (self.events, self.users, self.sources, self.friends, self.subscriptions)
        return tuple(one for one in tables if one is not None)

    @property
    def arrives(self) -> bool:
        """Whether its events come from a topic."""
        return self.events.topic is not None

    @model_validator(mode="after")
    def _only_events_come_from_a_topic(self) -> "DatasetConfig":
        for name in (c.USERS, c.SOURCES, c.FRIENDS, c.SUBSCRIPTIONS):
            raw: TableMapping | None = getattr(self, name)
            if raw is not None and is_topic(raw.path):
                raise ValueError(
                    f"{name}: only events come from a topic; leave {name} out: what is seen in events is there"
                )
        if (self.events.topic is not None) != is_topic(self.events.path):
            raise ValueError("events: a path topic: or topic:NAME and a section `topic` belong together")
        if self.partition.partial_last_day == "leave_out" and (
            self.world or self.events.topic or self.partition.grain != "day"
        ):
            raise ValueError("partition.partial_last_day: leave_out is for a log of files that is cut into days")
        if self.events.topic is not None and self.partition.grain != "day":
            raise ValueError("partition.grain: what comes from a topic is cut into days")
        return self

    @model_validator(mode="after")
    def _subscriptions_have_a_time(self) -> "DatasetConfig":
        raw = self.subscriptions
        if raw is not None and not raw.path.startswith("world:") and "{dt}" not in raw.path:
            raise ValueError(
                "subscriptions: a raw snapshot without {dt} in its path knows the future; derive them from events"
            )
        return self

    @model_validator(mode="after")
    def _tables_name_canonical_columns(self) -> "DatasetConfig":
        for table, (needed, optional) in CANONICAL_COLUMNS.items():
            mapping: TableMapping | None = getattr(self, table)
            if mapping is None:
                continue
            given = {*mapping.columns, *mapping.constants}
            if unknown := sorted((given | set(mapping.hash_ids)) - {*needed, *optional}):
                raise ValueError(
                    f"{table}: {unknown[0]!r} is not a canonical column: one of {', '.join((*needed, *optional))}"
                )
            if missing := [name for name in needed if name not in given]:
                raise ValueError(f"{table}: columns or constants must name {missing[0]!r}")
        return self


def dataset_model(tree: dict[str, Any]) -> type[DatasetBase]:
    """The model of a dataset's YAML: of texts where it says `texts`, else of events."""
    return TextsConfig if c.TEXTS in tree else DatasetConfig
