"""What only a storage of files can get wrong."""

import multiprocessing
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ok_ml.config.models import StorageConfig
from ok_ml.delivery.backends import lmdb_reader
from ok_ml.delivery.storage import open_store
from ok_ml.errors import ConfigError, EnvironmentFault, IntegrityError
from tests.delivery.made_up import EXPERIMENT, PARTS, USERS, Log, load, new_loader


@pytest.fixture
def served(lmdb_store):
    """A store that serves generation 10."""
    log = Log()
    log.generation(10)
    load(lmdb_store, log)
    return lmdb_store


def data_of(store, name="19700101-000000-010") -> Path:
    return store.root / EXPERIMENT / "generations" / name / "data.mdb"


def test_a_sealed_file_is_read_only_and_has_no_lock_file(served):
    assert stat.S_IMODE(data_of(served).stat().st_mode) == 0o444
    assert sorted(path.name for path in data_of(served).parent.iterdir()) == ["data.mdb", "manifest.json"]
    served.reader(EXPERIMENT).get_many([1])
    assert sorted(path.name for path in data_of(served).parent.iterdir()) == ["data.mdb", "manifest.json"]


def test_a_truncated_file_is_refused_before_it_is_mapped(served):
    data = data_of(served)
    data.chmod(0o644)
    os.truncate(data, data.stat().st_size - 4096)
    with pytest.raises(IntegrityError, match=r"data\.mdb has \d+ bytes, expected \d+"):
        served.reader(EXPERIMENT).get_many([1])
    with pytest.raises(IntegrityError, match="expected"):
        served.reader(EXPERIMENT, verify=False).get_many([1])


def test_a_changed_file_is_refused(served):
    data = data_of(served)
    data.chmod(0o644)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(IntegrityError, match="has SHA-256"):
        served.reader(EXPERIMENT).get_many([1])


def test_a_flipped_bit_of_a_value_is_seen_when_it_is_read(served):
    """Without the SHA-256 at opening the hash of each value is the last line."""
    data = data_of(served)
    data.chmod(0o644)
    content = data.read_bytes()
    answer = served.reader(EXPERIMENT).get_many([1]).lists[0]
    place = content.find(answer.source_ids.tobytes() + answer.scores.tobytes())
    assert place > 0
    data.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    reader = served.reader(EXPERIMENT, verify=False)
    damaged = []
    for user in USERS.tolist():
        try:
            reader.get_many([user])
        except IntegrityError as error:
            damaged.append(error)
    assert len(damaged) == 1
    assert "does not match its checksum" in str(damaged[0])


def test_two_readers_of_one_process_share_what_is_open(served):
    one, other = served.reader(EXPERIMENT), served.reader(EXPERIMENT)
    assert one.get_many([1]).lists[0].source_ids.tolist() == other.get_many([1]).lists[0].source_ids.tolist()
    assert one._held is other._held
    one.close()
    assert other.get_many([1]) is not None
    other.close()
    assert not [key for key in lmdb_reader._REGISTRY._opened if key == lmdb_reader._identity(data_of(served))]


def test_what_is_removed_is_closed_when_its_last_reader_moves_on(served):
    reader, log = served.reader(EXPERIMENT), Log()
    reader.get_many([1])
    first = reader._held
    log.generation(11)
    load(served, log, new_loader(served, log_id="other", keep=1))
    assert not data_of(served).exists()
    assert reader.get_many([1]).manifest.generation == 11
    assert first.users == 0
    reader.close()


def test_rolling_back_to_what_is_still_open(served):
    log = Log()
    log.generation(11)
    load(served, log, new_loader(served, log_id="other"))
    held, reader = served.reader(EXPERIMENT), served.reader(EXPERIMENT)
    assert held.get_many([1]).manifest.generation == 11
    served.rollback(EXPERIMENT)
    assert reader.get_many([1]).manifest.generation == 10
    served.switch(EXPERIMENT, 11)
    assert reader.get_many([1]).manifest.generation == held.get_many([1]).manifest.generation == 11


def _answer_in_child(reader, queue) -> None:
    inherited = reader._held
    answer = reader.get_many([1, 2])
    queue.put(
        (reader._held is inherited, answer.manifest.generation, [one.source_ids.tolist() for one in answer.lists])
    )


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_reader_that_was_inherited_over_a_fork_opens_anew(served):
    reader = served.reader(EXPERIMENT)
    here = reader.get_many([1, 2])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_answer_in_child, args=(reader, queue))
    child.start()
    assert queue.get(timeout=20) == (False, 10, [one.source_ids.tolist() for one in here.lists])
    child.join(20)
    assert child.exitcode == 0
    assert reader.get_many([1]).manifest.generation == 10


_WITH_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from ok_ml.config.models import StorageConfig
from ok_ml.delivery.storage import open_store
from tests.delivery.made_up import EXPERIMENT, Log, load
store = open_store(StorageConfig(backend="lmdb", path=sys.argv[1]))
log = Log()
log.generation(10)
log.generation(11)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
loader = load(store, log, step=100)
print(loader.refusals[11].final, loader.refusals[11].reason)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.generation(12)
load(store, log, loader)
"""


@pytest.mark.parametrize("limit_bytes", [4_096, 60_000])
def test_a_full_disk_costs_the_new_generation_and_not_the_old_one(served, limit_bytes):
    """A limit on the size of files stands in for the full disk: the same failing writes."""
    reader = served.reader(EXPERIMENT)
    command = [sys.executable, "-c", _WITH_LITTLE_ROOM, str(served.root), str(limit_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True the storage cannot write to ")
    assert "MiB are free there" in done.stdout
    assert [info.manifest.generation for info in served.generations(EXPERIMENT)] == [12, 10]
    assert reader.get_many([1]).manifest.generation == 12, "with room again the next generation is served"
    assert served.staged(EXPERIMENT) == []


def test_documents_on_a_full_disk_say_so(lmdb_store):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(EnvironmentFault, match="cannot write to"):
            lmdb_store.write_document(EXPERIMENT, "history", {"long": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lmdb_store.read_document(EXPERIMENT, "history") is None


def test_what_a_crash_left_of_a_removal_goes_with_the_next(served):
    left = data_of(served).parent.with_name(".19691231-235959-999.removed")
    left.mkdir()
    log = Log()
    log.generation(11)
    load(served, log, new_loader(served, log_id="other", keep=1))
    assert not left.exists()
    assert len(served.sealed(EXPERIMENT)) == 1


def test_a_number_of_parts_of_its_own_is_read_from_the_generation(lmdb_store):
    log = Log(parts=PARTS * 2)
    log.generation(10)
    load(lmdb_store, log)
    answer = lmdb_store.reader(EXPERIMENT).get_many(USERS.tolist())
    assert all(one is not None for one in answer.lists)


def test_unknown_and_incomplete_backends(tmp_path):
    with pytest.raises(ConfigError, match=r"storage.backend is 'rocks'; known: lmdb, redis"):
        open_store(StorageConfig(backend="rocks"), tmp_path)
    with pytest.raises(ConfigError, match=r"storage.path is not set"):
        open_store(StorageConfig(backend="lmdb"), tmp_path)
