"""The control record: what one attempt at one part wrote, signed.

It follows every acknowledgement of the attempt's records in the same Kafka partition. The storage takes an attempt
only if it received exactly `count` records whose hashes add up to `checksum`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from ok_ml.delivery.codec import PREFIX_BYTES, TAG_BYTES, Kind, Prefix, pack_prefix, unpack_prefix
from ok_ml.errors import IntegrityError
from ok_ml.signing import sign, verify_signature

PURPOSE: Final = "control"
CHECKSUM_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True)
class Control:
    """What one attempt at one part wrote.

    Attributes
    ----------
    attempt
        uuid4, 32 hex digits.
    parts
        Parts of the whole generation; `part` counts from 0.
    count
        Records of the attempt: predictions, sources and the fallback list; this record aside.
    checksum
        Sum mod 2^64 of xxh3_64(key || value) over these records, 16 hex digits.
    details
        What readers may want to know about the generation, e.g. the newest data's dt.
    """

    experiment: str
    generation: int
    part: int
    parts: int
    attempt: str
    model_version: int
    count: int
    predictions: int
    sources: int
    checksum: str
    details: dict[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> bytes:
        """What the prefix of each value holds of the attempt."""
        return bytes.fromhex(self.attempt)[:TAG_BYTES]

    def prefix(self, kind: Kind) -> Prefix:
        """The prefix of this attempt's values."""
        return Prefix(kind, self.generation, self.tag, self.model_version)


def hex_checksum(total: int) -> str:
    """A sum of hashes as a control record shows it."""
    return f"{total & CHECKSUM_MASK:016x}"


def seal_control(control: Control, key: bytes) -> bytes:
    """The signed value of a control record."""
    payload = asdict(control)
    body = orjson.dumps({"control": payload, "signature": sign(payload, key, purpose=PURPOSE)})
    return pack_prefix(control.prefix(Kind.CONTROL)) + body


def open_control(value: bytes, key: bytes) -> Control:
    """Read a control record and verify its signature.

    Raises
    ------
    IntegrityError
        It is not a control record, was changed, or was signed with another key.
    """
    prefix = unpack_prefix(value)
    try:
        document: dict[str, Any] = orjson.loads(value[PREFIX_BYTES:])
        payload = document["control"]
        control = Control(**payload)
        signature = str(document["signature"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise IntegrityError(
            "a control record cannot be read", why="what its attempt wrote cannot be verified", remedy="publish again"
        ) from error
    verify_signature(payload, signature, key, purpose=PURPOSE)
    if control.prefix(Kind.CONTROL) != prefix:
        raise IntegrityError("a control record's prefix and content disagree", why="it belongs to another attempt")
    return control
