"""From the predictions table into the topic, and from the topic into what is served."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.delivery.generation_ids import generation_name, next_generation
from ok_ml.errors import GateRefused
from ok_ml.lake import WHOLE, Manifest, fingerprint, part_prefix
from ok_ml.monitoring.judges.feature_judge import require_verdict
from ok_ml.monitoring.judges.prediction_judge import require_predictions
from ok_ml.monitoring.series.live_history import Served, record_live
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import Verdict, series_verdict, verdict_of
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    import pyarrow as pa

    from ok_ml.delivery.publisher import PartReceipt, Publication

PARITY: Final = "parity"  # kind of findings, and name of the check


def publish(pipeline: Pipeline, *, progress: Callable[[str], None]) -> Manifest:
    """Write the newest predictions to the topic as one generation; every record is acknowledged before this returns.

    Raises
    ------
    GateRefused
        The predictions were made by another model than the present champion, or from features that are blocked.
    IntegrityError
        The champion's record or bytes were changed.
    ServiceUnavailable
        The broker does not answer; publish again.
    """
    from ok_ml.delivery.publisher import prepare_topic, publish_generation, total_checksum

    predictions = _allowed(pipeline)
    inputs = pipeline.inputs_of(c.PUBLICATION)
    publication = _publication(pipeline, predictions)
    payload = pipeline.kind.payload(pipeline, predictions)
    publication = replace(publication, details={**publication.details, **payload.details})
    prepare_topic(publication, predictions.rows, payload.value_bytes)
    progress(
        f"generation {generation_name(publication.generation)}: {predictions.rows:,} predictions to {publication.topic}"
    )
    receipts = publish_generation(
        publication,
        lambda part: _part(pipeline, predictions, part),
        payload,
        progress=lambda done, parts: progress(f"{done} of {parts} parts acknowledged"),
    )
    checksum = total_checksum([receipt.checksum for receipt in receipts])
    return _commit(pipeline, publication, receipts, inputs, checksum, predictions.version)


def wait_live(pipeline: Pipeline) -> Manifest:
    """Wait until the storage serves the newest publication and record what it verified."""
    from ok_ml.delivery.live import wait_until_live

    publication, inputs = pipeline.lake.manifest(pipeline.name, c.PUBLICATION), pipeline.inputs_of(c.LIVE_PREDICTIONS)
    settings = pipeline.delivery
    timeout = pipeline.project.environment.storage.live_timeout_seconds
    started = time.monotonic()
    served = wait_until_live(settings.store(), pipeline.name, int(publication.details["generation"]), timeout)
    with pipeline.lake.staged(pipeline.name, c.LIVE_PREDICTIONS, WHOLE) as folder:
        live = pipeline.lake.commit(
            folder,
            rows=served.predictions,
            data_version=fingerprint({"live": served.checksum, "generation": served.generation}),
            inputs=inputs,
            details={
                "generation": served.generation,
                "generation_name": served.name,
                "checksum": served.checksum,
                "records": served.count,
                "sources": served.sources,
                "model_version": served.model_version,
                "data_dt": publication.details["data_dt"],
                "waited_seconds": round(time.monotonic() - started, 2),
            },
        )
    _note_live(pipeline, publication)
    return live


def _note_live(pipeline: Pipeline, publication: Manifest) -> None:
    """Keep what went live and when, so that the reactions of later days find the lists that people saw."""
    said, days = publication.details, pipeline.committed()
    record_live(
        pipeline.lake,
        pipeline.name,
        Served(
            int(said["generation"]),
            str(said["generation_name"]),
            str(said["data_dt"]),
            int(said["model_version"]),
            str(said.get("predictions_version", "")),
            newest_dt=days[-1] if days else str(said["data_dt"]),
        ),
    )


def overtaking_generation(pipeline: Pipeline) -> int | None:
    """The generation that the storage serves although a newer publication is not on record; None if there is none.

    Another process published it, or a run was killed after its last record was acknowledged: the recorded publication, older than
        that, never goes live.
    """
    publication, served = pipeline.lake.find(pipeline.name, c.PUBLICATION), live_generation(pipeline)
    if publication is None or served is None or served <= int(publication.details["generation"]):
        return None
    return served


def publish_overtaken(pipeline: Pipeline, *, progress: Callable[[str], None]) -> Manifest | None:
    """Publish the predictions again if their publication was overtaken; None if it was not. Raises as `publish`."""
    served = overtaking_generation(pipeline)
    if served is None:
        return None
    progress(f"generation {generation_name(served)} is served, newer than what is on record: publishing again")
    return publish(pipeline, progress=progress)


def live_generation(pipeline: Pipeline) -> int | None:
    """The generation that the storage serves now, or None."""
    return pipeline.delivery.store().current(pipeline.name)


def judge_parity(pipeline: Pipeline) -> Verdict:
    """Whether the predictions table, what the broker acknowledged and what the storage verified are the same rows."""
    publication, live = (pipeline.lake.manifest(pipeline.name, table) for table in (c.PUBLICATION, c.LIVE_PREDICTIONS))
    table = pipeline.lake.manifest(pipeline.name, c.PREDICTIONS, str(publication.details["data_dt"]))
    checksums = publication.details["checksum"], live.details["checksum"]
    numbers = {"table": table.rows, "topic": publication.rows, "storage": live.rows}
    sums = {"topic_checksum": checksums[0], "storage_checksum": checksums[1]}
    same = table.rows == publication.rows == live.rows and checksums[0] == checksums[1]
    facts = f"table {table.rows:,}, topic {publication.rows:,}, storage {live.rows:,} predictions"
    advice = "" if same else "; publish again: a new generation replaces the whole"
    headline = f"{facts}; checksums {'equal' if same else 'or counts differ'}{advice}"
    finding = replace(Finding.told(PARITY, "warn", headline, table.partition, kind=PARITY), passed=same)
    verdict = verdict_of(pipeline.lake, pipeline.name, series_verdict(c.LIVE_PREDICTIONS), table.partition, [finding])
    return replace(verdict, headline=headline, numbers={**numbers, **sums})


def _part(pipeline: Pipeline, predictions: Manifest, part: int) -> "pa.Table":
    """One part of exactly these predictions, also if newer ones are committed meanwhile."""
    import pyarrow.parquet as pq

    return pq.read_table(pipeline.lake.folder(predictions) / f"{part_prefix(part)}.parquet", partitioning=None)


def _allowed(pipeline: Pipeline) -> Manifest:
    """The newest predictions, if the present champion made them from features that passed, and they pass themselves."""
    predictions = pipeline.lake.manifest(
        pipeline.name, c.PREDICTIONS, pipeline.lake.latest(pipeline.name, c.PREDICTIONS)
    )
    _, record = champion_bundle(pipeline)
    if pipeline.type.has(c.FEATURE_STATISTICS):
        require_verdict(pipeline, predictions.partition)
    if str(predictions.details.get("model_version")) != record.model_version:
        raise GateRefused(
            f"{pipeline.name}: the predictions of {predictions.partition} are of model version"
            f" {predictions.details.get('model_version')}, the champion is {record.model_version}",
            why="what is served must be what the gate let through",
            remedy=f"materialise {pipeline.name}/{c.PREDICTIONS} first",
        )
    require_predictions(pipeline)
    return predictions


def _publication(pipeline: Pipeline, predictions: Manifest) -> "Publication":
    from ok_ml.delivery.publisher import Publication

    settings = pipeline.delivery
    last = pipeline.lake.find(pipeline.name, c.PUBLICATION)
    known = (settings.store().newest(pipeline.name), int(last.details["generation"]) if last else 0)
    generation = next_generation(int(time.time() * 1000), *known)
    return Publication(
        settings.kafka,
        pipeline.name,
        generation,
        pipeline.config.delivery.partitions,
        int(predictions.details["model_version"]),
        settings.signing_key(),
        {"data_dt": predictions.partition},
    )


def _commit(
    pipeline: Pipeline,
    publication: "Publication",
    receipts: "list[PartReceipt]",
    inputs: dict[str, str],
    checksum: str,
    version: str,
) -> Manifest:
    seconds = sum(receipt.seconds for receipt in receipts)
    with pipeline.lake.staged(pipeline.name, c.PUBLICATION, WHOLE) as folder:
        return pipeline.lake.commit(
            folder,
            rows=sum(receipt.predictions for receipt in receipts),
            inputs=inputs,
            data_version=fingerprint({"checksum": checksum, "generation": publication.generation}),
            details={
                "generation": publication.generation,
                "generation_name": generation_name(publication.generation),
                "checksum": checksum,
                "records": sum(receipt.count for receipt in receipts),
                "topic": publication.topic,
                "bytes": sum(receipt.bytes for receipt in receipts),
                "part_seconds": round(seconds, 2),
                "model_version": publication.model_version,
                "data_dt": publication.details["data_dt"],
                "predictions_version": version,
            },
        )
