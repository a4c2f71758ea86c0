import hashlib
import logging

import pytest

from ok_ml.errors import EnvironmentFault, IntegrityError
from ok_ml.local.broker import kafka_jars

CORE = "kafka_2.13-4.1.1.jar"


@pytest.fixture
def known(monkeypatch):
    """A committed list of two jars in place of the real one."""
    content = {CORE: b"the broker", "lz4-java-1.8.0.jar": b"a codec"}
    monkeypatch.setattr(
        kafka_jars, "checksums", lambda: {name: hashlib.sha256(c).hexdigest() for name, c in content.items()}
    )
    return content


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no KAFKA_HOME."""
    monkeypatch.setenv("OK_ML_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    return tmp_path / "cache" / "kafka-4.1.1"


def put(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name).write_bytes(text)
    return folder


def test_the_committed_list_is_whole():
    known = kafka_jars.checksums()
    assert len(known) == 45
    assert CORE in known
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in known.values())


def test_the_cache_is_used_without_a_look_at_the_network(known, cache, monkeypatch):
    monkeypatch.setattr(kafka_jars, "fetch", lambda *_: pytest.fail("must not fetch"))
    put(cache, known)
    found = kafka_jars.find_jars()
    assert ([path.name for path in found.paths], found.verified) == (list(known), True)
    names = [path.rsplit("/", 1)[-1] for path in found.class_path(cache).split(":")]
    assert names[0].startswith("log4j-slf4j2-impl-")
    assert names[-2:] == list(known)


def test_a_colon_in_a_path_is_none_in_the_class_path(known, tmp_path):
    found, work = kafka_jars.find_jars(put(tmp_path / "a:b", known)), tmp_path / "work"
    for _ in range(2):
        paths = [work / name for name in found.class_path(work).split(":")]
        assert [path.name for path in paths][-2:] == list(known)
        assert all(path.is_file() for path in paths)


@pytest.mark.parametrize("change", [{CORE: b"somebody else's broker"}, {}])
def test_a_jar_that_is_not_the_committed_one_is_refused(known, cache, change):
    put(cache, known | change)
    if not change:
        (cache / CORE).unlink()
    with pytest.raises(
        IntegrityError, match=rf"1 of 2 jars of Kafka 4\.1\.1 are missing or not the committed ones: .*{CORE}"
    ):
        kafka_jars.find_jars()


def test_jars_dir_comes_before_kafka_home_and_the_cache(known, cache, tmp_path, monkeypatch):
    put(cache, known)
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path / "home"))
    put(tmp_path / "home" / "libs", known)
    put(tmp_path / "mine", known)
    assert kafka_jars.find_jars(tmp_path / "mine").origin == "kafka.jars_dir"
    assert kafka_jars.find_jars().origin == "KAFKA_HOME"
    monkeypatch.delenv("KAFKA_HOME")
    assert kafka_jars.find_jars().origin == "the cache"


def test_our_version_in_another_folder_is_verified_too(known, tmp_path):
    put(tmp_path, known | {"connect-api.jar": b"not on our list"})
    assert not kafka_jars.from_folder(tmp_path, "KAFKA_HOME").verified
    put(tmp_path, {CORE: b"changed"})
    with pytest.raises(IntegrityError, match="not the committed ones"):
        kafka_jars.from_folder(tmp_path, "KAFKA_HOME")


def test_another_version_is_used_unverified_and_that_is_said(known, tmp_path, caplog):
    put(tmp_path, {"kafka_2.13-3.9.0.jar": b"older"})
    with caplog.at_level(logging.WARNING):
        found = kafka_jars.from_folder(tmp_path, "kafka.jars_dir")
    assert (found.version, found.verified) == ("3.9.0", False)
    assert "Kafka 3.9.0 of kafka.jars_dir is not verified" in caplog.text


def test_a_folder_without_kafka_is_named(tmp_path):
    with pytest.raises(EnvironmentFault, match=r"KAFKA_HOME says .* holds no kafka_2"):
        kafka_jars.from_folder(tmp_path, "KAFKA_HOME")


def test_what_cannot_be_fetched_leaves_nothing_behind(known, cache, monkeypatch):
    monkeypatch.setattr(kafka_jars, "_ivy", lambda *_: ["sh", "-c", "echo no route to host; exit 7"])
    monkeypatch.setattr(kafka_jars, "_mvn", lambda *_: ["no-such-program"])
    with pytest.raises(
        EnvironmentFault, match=r"Ivy: exit code 7, 0 jars; no route to host; mvn: no no-such-program"
    ) as caught:
        kafka_jars.find_jars()
    assert "set KAFKA_HOME or kafka.jars_dir" in str(caught.value)
    assert [path.name for path in cache.parent.iterdir()] == [".kafka-4.1.1.lock"]


def test_what_is_fetched_is_verified_before_it_is_put_into_the_cache(known, cache, monkeypatch):
    script = 'printf "the broker" > "$0/lib/{}"; printf "{}" > "$0/lib/lz4-java-1.8.0.jar"'
    monkeypatch.setattr(kafka_jars, "_ivy", lambda work, _: ["sh", "-c", script.format(CORE, "tampered"), str(work)])
    with pytest.raises(IntegrityError, match="1 of 2 jars"):
        kafka_jars.find_jars()
    assert not cache.exists()
    monkeypatch.setattr(kafka_jars, "_ivy", lambda work, _: ["sh", "-c", script.format(CORE, "a codec"), str(work)])
    assert kafka_jars.find_jars().verified
