"""Label scores on their way: bytes, payload, and answers with names of labels and without a fallback."""

import uuid

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.delivery.codec import (
    HEAD_BYTES,
    Kind,
    Prefix,
    check_payload,
    decode_prediction,
    decode_scores,
    encode_scores,
    scores_bytes,
)
from ok_ml.delivery.control import Control
from ok_ml.delivery.payloads import LABELS, LabelScorePayload
from ok_ml.errors import DataError
from ok_ml.hashing import part_of

PREFIX = Prefix(Kind.SCORES, 10, b"12345678", 7)


def rows(scores: list[list[float]], decided: list[int], ids: list[int] | None = None) -> pa.Table:
    return pa.table(
        {
            c.TEXT_ID: pa.array(ids or list(range(len(scores))), pa.int64()),
            c.SCORES: pa.array(scores, pa.list_(pa.float32())),
            "decided": pa.array(decided, pa.int8()),
        }
    )


def test_what_is_encoded_is_read_again() -> None:
    values = encode_scores(PREFIX, rows([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]], [1, 0, -1]), 2)
    assert {len(value) for value in values} == {scores_bytes(2)} == {HEAD_BYTES + 8}
    read = [decode_scores(value) for value in values]
    assert [one.decided for one in read] == [1, 0, -1]
    assert [one.scores.tolist() for one in read] == [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
    check_payload(Kind.SCORES, values[0])


@pytest.mark.parametrize(
    ("scores", "decided", "labels"), [([[0.5]], [0], 2), ([[0.5, 0.5]], [2], 2), ([[0.5, 0.5]], [-2], 2)]
)
def test_scores_that_do_not_fit_are_refused(scores: list[list[float]], decided: list[int], labels: int) -> None:
    with pytest.raises(DataError, match=f"do not fit {labels} labels"):
        encode_scores(PREFIX, rows(scores, decided), labels)


def test_a_cut_value_and_one_of_another_kind_are_refused() -> None:
    (value,) = encode_scores(PREFIX, rows([[0.25, 0.75]], [1]), 2)
    with pytest.raises(DataError, match="scores of 2 labels have 31 bytes, expected 32"):
        check_payload(Kind.SCORES, value[:-1])
    with pytest.raises(DataError, match="expected a list, received a value of kind scores"):
        decode_prediction(value)


def test_a_payload_is_its_part_s_alone_and_names_the_labels() -> None:
    payload = LabelScorePayload(("ham", "spam"))
    control = Control("e", 10, 0, 2, uuid.uuid4().hex, 7, 0, 0, 0, "")
    mine = [one for one in range(40) if part_of(np.array([one]), 2)[0] == 0]
    table = rows([[0.5, 0.5]] * len(mine), [0] * len(mine), mine[::-1])
    ((keys, values),) = payload.batches(control, table)
    assert keys == sorted(keys)
    assert len(values) == len(mine)
    assert payload.details == {LABELS: '["ham","spam"]'}
    assert payload.extra_records == 0
    with pytest.raises(DataError, match="do not belong to part 0 of 2"):
        list(payload.batches(control, rows([[0.5, 0.5]] * 40, [0] * 40)))
