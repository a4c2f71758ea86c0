"""Reading generations from Redis or Valkey."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import redis

from ok_ml.delivery.codec import Kind, id_of
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import GenerationGone, Reader, Snapshot
from ok_ml.errors import EnvironmentFault, ServiceUnavailable


def data_key(experiment: str, generation: int, part: int, name: str) -> str:
    """Key of the data of one part; the braces put a part on one slot of a cluster."""
    return f"ok_ml:{{{experiment}/{generation}/{part}}}:{name}"


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn the client's errors into ours. No message holds a password: only the server's own words are passed on."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise EnvironmentFault(
            f"the storage has no memory left ({error})",
            why="a generation that is not whole is never served; the last good one still is",
            remedy="raise maxmemory or keep fewer generations, then publish again",
        ) from error
    except redis.exceptions.RedisError as error:
        raise ServiceUnavailable(
            f"the storage does not answer as it should ({type(error).__name__}: {error})",
            why="predictions cannot be stored or served",
            remedy="check storage.url and its password, and that the server is up",
        ) from error


class RedisSnapshot(Snapshot):
    """One generation; its keys are never written again, so reading them at different moments is reading them at once."""

    def __init__(self, client: Any, manifest: GenerationManifest) -> None:
        super().__init__(manifest)
        self._client = client
        controls = manifest.controls
        self._keys = [data_key(manifest.experiment, manifest.generation, c.part, c.tag.hex()) for c in controls]

    def lookup(self, wanted: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """See `Snapshot`. Whether a part is still there is asked after its values: a removed one never returns."""
        by_part: dict[int, list[int]] = {}
        for place, (part, _) in enumerate(wanted):
            by_part.setdefault(part, []).append(place)
        stored: list[bytes | None] = [None] * len(wanted)
        with answering():
            pipe = self._client.pipeline(transaction=False)
            for part, places in by_part.items():
                pipe.hmget(self._keys[part], [wanted[place][1] for place in places])
                pipe.exists(self._keys[part])
            replies = pipe.execute()
        for number, places in enumerate(by_part.values()):
            values, exists = replies[2 * number], replies[2 * number + 1]
            if not exists:
                raise GenerationGone
            for place, value in zip(places, values, strict=True):
                stored[place] = value
        return stored

    def examples(self, limit: int) -> list[int | str]:
        """See `Snapshot`: ids of the parts in turn."""
        keys: list[bytes] = []
        with answering():
            for key in self._keys:
                if len(keys) >= limit:
                    break
                _, fields = self._client.hscan(key, count=2 * limit)
                keys += sorted(field[1:] for field in fields if field[0] in (Kind.PREDICTION, Kind.SCORES))
        return [id_of(key) for key in keys[:limit]]


class RedisReader(Reader):
    """Reads the generation that the pointer names."""

    def __init__(self, client: Any, experiment: str, current_key: str, sealed_key: str) -> None:
        super().__init__(experiment)
        self._client, self._current_key, self._sealed_key = client, current_key, sealed_key
        self._held: RedisSnapshot | None = None

    def close(self) -> None:
        """See `Reader`; the connection belongs to the store."""
        self._held = None

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[RedisSnapshot | None]:
        with answering():
            pointer = self._client.get(self._current_key)
        if pointer is None:
            yield None
            return
        held = self._held
        if held is None or held.manifest.generation != int(pointer):
            with answering():
                document = self._client.hget(self._sealed_key, pointer)
            if document is None:
                raise GenerationGone
            held = self._held = RedisSnapshot(self._client, GenerationManifest.from_json(orjson.loads(document)))
        yield held
