"""Replacing a file in one rename."""

from pathlib import Path

import pytest

from ok_ml.atomic_write import replace_file


@pytest.mark.parametrize("durable", [False, True])
def test_the_new_content_takes_the_place_of_the_old_and_nothing_is_left_beside_it(
    tmp_path: Path, durable: bool
) -> None:
    path = tmp_path / "status.json"
    for content in (b"a longer first content", b"second"):
        replace_file(path, content, durable=durable)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old"
