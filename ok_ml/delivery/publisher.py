"""Publishing a generation of predictions: one part, one partition, one producer, one signed control record."""

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import xxhash

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.codec import CONTROL_KEY, prediction_bytes
from ok_ml.delivery.control import Control, hex_checksum, seal_control
from ok_ml.delivery.kafka.producer import PartitionProducer
from ok_ml.delivery.kafka.topics import create_topic, require_listening, topic_of
from ok_ml.delivery.payloads import Payload

if TYPE_CHECKING:
    import pyarrow as pa

_THREADS: Final = 4  # a new idempotent producer waits half a second for its id: parts wait side by side


@dataclass(frozen=True)
class Publication:
    """What all parts of one generation have in common.

    Attributes
    ----------
    generation
        Milliseconds since the epoch; see `ok_ml.delivery.generation_ids.next_generation`.
    parts
        Partitions of the topic.
    model_version
        Version of the champion that made the predictions.
    details
        Stored with the generation for readers, e.g. ``data_dt``.
    timeout_seconds
        How long the broker may leave a record unacknowledged.
    """

    kafka: KafkaConfig
    experiment: str
    generation: int
    parts: int
    model_version: int
    signing_key: bytes = field(repr=False)
    details: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 30.0

    @property
    def topic(self) -> str:
        """The experiment's topic."""
        return topic_of(self.experiment)


@dataclass(frozen=True)
class PartReceipt:
    """What was acknowledged for one part.

    Attributes
    ----------
    count
        Records: predictions, sources and the fallback list; the control record aside.
    checksum
        Sum mod 2^64 of xxh3_64(key || value), 16 hex digits.
    attempt
        uuid4, 32 hex digits.
    bytes
        Keys and values.
    """

    part: int
    count: int
    predictions: int
    sources: int
    checksum: str
    attempt: str
    bytes: int
    seconds: float


def publish_part(
    publication: Publication,
    part: int,
    predictions: "pa.Table",
    payload: Payload,
) -> PartReceipt:
    """Write one part: predictions ascending by key, what travels with them, then the signed control record.

    Parameters
    ----------
    predictions
        Rows of this part alone, with the columns of the payload.

    Raises
    ------
    DataError
        An entity belongs to another part or comes twice; a prediction is malformed.
    ServiceUnavailable
        The broker does not answer, or left a record unacknowledged. Publish again: a new attempt replaces this one.
    """
    started = time.monotonic()
    require_listening(publication.kafka)
    attempt = uuid.uuid4().hex
    control = Control(
        publication.experiment,
        publication.generation,
        part,
        publication.parts,
        attempt,
        publication.model_version,
        0,
        0,
        0,
        hex_checksum(0),
        publication.details,
    )
    records = _Records()
    producer = PartitionProducer(publication.kafka, publication.topic, part, publication.timeout_seconds)
    try:
        for keys, values in payload.batches(control, predictions):
            records.add(keys, values)
            producer.send(keys, values)
        producer.finish()
        sources = records.count - predictions.num_rows - payload.extra_records
        control = replace(
            control,
            count=records.count,
            predictions=predictions.num_rows,
            sources=sources,
            checksum=hex_checksum(records.total),
        )
        producer.send([CONTROL_KEY], [seal_control(control, publication.signing_key)])
        producer.finish()
    finally:
        producer.close()
    return PartReceipt(
        part,
        records.count,
        predictions.num_rows,
        sources,
        control.checksum,
        attempt,
        records.bytes,
        time.monotonic() - started,
    )


def prepare_topic(publication: Publication, rows: int, value_bytes: int = prediction_bytes(100)) -> bool:
    """Make the topic, or let it keep more if the parts have outgrown it; returns whether it was made.

    Parameters
    ----------
    rows
        Predictions of the whole generation.
    value_bytes
        Size of the longest value.
    """
    part_bytes = (rows // publication.parts + 1) * (value_bytes + 16)
    return create_topic(publication.kafka, publication.topic, publication.parts, part_bytes=part_bytes)


def publish_generation(
    publication: Publication,
    load: "Callable[[int], pa.Table]",
    payload: Payload,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[PartReceipt]:
    """Publish every part in this process, several at once.

    Parameters
    ----------
    load
        Part -> its predictions; called in a worker thread when the part's turn comes, so that few are in memory.
    progress
        Receives parts done and parts in all.
    """
    receipts: list[PartReceipt] = []

    def publish_one(part: int) -> PartReceipt:
        return publish_part(publication, part, load(part), payload)

    with ThreadPoolExecutor(threads or min(publication.parts, _THREADS), "publish") as pool:
        tasks = [pool.submit(publish_one, part) for part in range(publication.parts)]
        try:
            for task in tasks:
                receipts.append(task.result())
                if progress is not None:
                    progress(len(receipts), publication.parts)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return receipts


def total_checksum(checksums: Sequence[str]) -> str:
    """The checksum of a whole generation: the sum of its parts', mod 2^64, 16 hex digits."""
    return hex_checksum(sum(int(checksum, 16) for checksum in checksums))


# -- records of a part ---------------------------------------------------------------------------------------


class _Records:
    """Count, size and sum of hashes of what an attempt sends."""

    def __init__(self) -> None:
        self.count = self.bytes = self.total = 0

    def add(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        self.count += len(keys)
        self.bytes += sum(map(len, keys)) + sum(map(len, values))
        self.total += sum(xxhash.xxh3_64_intdigest(key + value) for key, value in zip(keys, values, strict=True))
