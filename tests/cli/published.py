"""Generations of predictions written straight into the storage, without a broker."""

import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa

from ok_ml.config.loader import load_project
from ok_ml.delivery.codec import FALLBACK_KEY, Kind, encode_catalogue, encode_predictions, key_of
from ok_ml.delivery.control import Control
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import stored_value
from ok_ml.delivery.storage import open_store
from ok_ml.hashing import part_of_key

PARTS = 4
SOURCES = {101: ("Cats", "animals"), 102: ("Chess", "games"), 103: ("Bread", None)}
USERS = {1: [101, 102, 103], 2: [103, 101], 3: [102]}
FALLBACK = [102, 101]


def publish(root: Path, generation: int, *, model_version: int = 7, experiment: str = "toy_sources") -> str:
    """Seal and switch to a generation with three users and three sources; returns its name."""
    project = load_project(root)
    store = open_store(project.environment.storage, project.root)
    controls = [
        Control(
            experiment,
            generation,
            part,
            PARTS,
            uuid.uuid4().hex,
            model_version,
            0,
            len(USERS) if part == 0 else 0,
            0,
            "0",
            {"data_dt": "2026-01-31"},
        )
        for part in range(PARTS)
    ]
    stage = store.stage(experiment, generation)
    for control in controls:
        stage.write(control.part, control.tag, _records(control), {})
    stage.seal(GenerationManifest(experiment, generation, tuple(controls), time.time()))
    store.switch(experiment, generation)
    store.close()
    return generation_name(generation)


def _records(control: Control) -> list[tuple[bytes, bytes]]:
    lists = {key_of(user): sources for user, sources in USERS.items()}
    predictions = encode_predictions(control.prefix(Kind.PREDICTION), _table(list(lists.values()), fallback_at=2))
    fallback = encode_predictions(control.prefix(Kind.FALLBACK), _table([FALLBACK], fallback_at=0))
    names, topics = [name for name, _ in SOURCES.values()], [topic for _, topic in SOURCES.values()]
    catalogue = encode_catalogue(control.prefix(Kind.CATALOGUE), names, topics)
    rows = [(bytes([Kind.PREDICTION]) + key, key, value) for key, value in zip(lists, predictions, strict=True)]
    rows += [
        (bytes([Kind.CATALOGUE]) + key_of(s), key_of(s), value) for s, value in zip(SOURCES, catalogue, strict=True)
    ]
    mine = [(stored, key, value) for stored, key, value in rows if part_of_key(key, PARTS) == control.part]
    if control.part == 0:
        mine.append((bytes([Kind.FALLBACK]) + FALLBACK_KEY, FALLBACK_KEY, fallback[0]))
    return sorted((stored, stored_value(key, value)[0]) for stored, key, value in mine)


def _table(lists: list[list[int]], fallback_at: int) -> pa.Table:
    scores = [np.linspace(2.5, 0.5, len(one)).astype(np.float32) for one in lists]
    return pa.table(
        {
            "source_ids": pa.array(lists, pa.list_(pa.int64())),
            "scores": pa.array(scores, pa.list_(pa.float32())),
            "reasons": pa.array([[0, 1, 2][: len(one)] for one in lists], pa.list_(pa.int8())),
            "is_fallback": pa.array([index == fallback_at for index in range(len(lists))]),
        }
    )
