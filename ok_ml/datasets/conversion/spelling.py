"""One identity for an id however it is spelt: the spelling that stands for all spellings of a text.

By default only what cannot mean another user is taken away: blanks and quotes around, the object or formula that
an export wrapped it in, and the ``.0`` of a column that pandas held as floats.
`id_spelling` of a mapping says more, column by column, because leading zeros or case may well tell people apart.
"""

from typing import Final
from unicodedata import normalize

import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.sections.dataset_models import CASE, EXACT, NUMBER, UUID_TEXT

_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060"
_SIMPLE: Final = r"^[0-9A-Za-z_-]+$"
_QUOTED: Final = r"""^=?(?:"([^"]*)"|'([^']*)')$"""
_OBJECT: Final = r'^\{\s*"[^"]*"\s*:\s*(?:"([^"]*)"|(-?\d+(?:\.\d+)?))\s*\}$'
_FLOAT: Final = r"^(-?)(0|[1-9]\d{0,15})\.0*$"
_JAVA_FLOAT: Final = r"^-?\d\.\d+E\d{1,2}$"  # has all digits that there are; Excel's 1.23457E+12 was rounded
_ANY_NUMBER: Final = r"^\+?(-?)0*(\d+?)(?:\.0*)?$"
_ANY_UUID: Final = (
    r"(?i)^(?:urn:uuid:)?[{(]?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})[)}]?$"
)
EXACT_FLOAT: Final = 2**53  # beyond it a double no longer names one integer


def tidied(texts: pa.Array) -> pa.Array:
    """Texts without what is around them: blanks, invisible marks, quotes, a formula ``="60"``, an object ``{"$oid": "60"}``."""
    if pc.all(pc.match_substring_regex(texts, _SIMPLE)).as_py() is not False:
        return texts
    trimmed = pc.utf8_trim_whitespace(pc.utf8_trim(texts, characters=_INVISIBLE))
    for pattern in (_OBJECT, _QUOTED):
        trimmed = pc.replace_substring_regex(trimmed, pattern, r"\1\2")
    return pc.utf8_trim_whitespace(trimmed)


def spelt(texts: pa.Array, spelling: str | None) -> pa.Array:
    """The spelling that stands for all spellings of each text.

    Parameters
    ----------
    texts
        Strings; different ones, since each is looked at.
    spelling
        What `id_spelling` says of the column: exact, number, uuid, case; None: see the module.
    """
    if spelling == EXACT:
        return texts
    spellings = _without_exponent(pc.replace_substring_regex(tidied(texts), _FLOAT, r"\1\2"))
    if spelling == NUMBER:
        return pc.replace_substring_regex(spellings, _ANY_NUMBER, r"\1\2")
    if spelling == UUID_TEXT:
        dashed = pc.replace_substring_regex(spellings, _ANY_UUID, r"\1-\2-\3-\4-\5")
        return pc.if_else(pc.match_substring_regex(dashed, _ANY_UUID), pc.utf8_lower(dashed), dashed)
    if spelling == CASE:  # lower case, accents within their letters; Arrow's own NFC takes them apart
        return pa.array([text and normalize("NFC", text).lower() for text in spellings.to_pylist()], pa.string())
    return spellings


def spelt_text(text: str, spelling: str | None) -> str:
    """The same of one text."""
    return str(spelt(pa.array([text]), spelling)[0].as_py())


def _without_exponent(texts: pa.Array) -> pa.Array:
    """Whole numbers as Java and Spark write doubles from ten million on, 1.2345678E7, as digits."""
    written = pc.match_substring_regex(texts, _JAVA_FLOAT)
    if not pc.any(written).as_py():
        return texts
    value = pc.if_else(written, texts, "0.5").cast(pa.float64())
    whole = pc.and_(pc.equal(value, pc.floor(value)), pc.less_equal(pc.abs(value), EXACT_FLOAT))
    return pc.if_else(whole, pc.if_else(whole, value, 0.0).cast(pa.int64()).cast(pa.string()), texts)
