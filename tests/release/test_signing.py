"""Signatures: whatever is changed is noticed, and the key is kept."""

import hashlib
import hmac
import json
import stat
import threading

import pytest

from ok_ml.errors import ConfigError, EnvironmentFault, IntegrityError
from ok_ml.signing import canonical_json, load_key, sha256_of_file, sign, verify_signature

KEY = b"k" * 32
RECORD = {"model": "7", "metrics": {"ndcg@10": 0.25, "users": 2**63 + 1}, "reasons": ["passed: ünïcode"], "none": None}


def test_the_signature_is_hmac_sha256_over_purpose_and_canonical_json():
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'.encode()
    expected = hmac.new(KEY, b"promotion\0" + b'{"a":[1.5],"b":1}', hashlib.sha256).hexdigest()
    assert sign({"b": 1, "a": (1.5,)}, KEY, purpose="promotion") == expected


def test_a_record_survives_json():
    signature = sign(RECORD, KEY, purpose="promotion")
    verify_signature(json.loads(json.dumps(RECORD, indent=3)), signature, KEY, purpose="promotion")


@pytest.mark.parametrize(
    "tampered",
    [
        RECORD | {"model": "8"},
        RECORD | {"model": 7},
        RECORD | {"metrics": {"ndcg@10": 0.25000000000000006, "users": 2**63 + 1}},
        RECORD | {"metrics": {"ndcg@10": 0.25, "users": 2**63}},
        RECORD | {"more": 0},
        {name: value for name, value in RECORD.items() if name != "none"},
    ],
)
def test_any_change_is_noticed(tampered):
    signature = sign(RECORD, KEY, purpose="promotion")
    with pytest.raises(IntegrityError, match="the signature of the promotion record does not match its content"):
        verify_signature(tampered, signature, KEY, purpose="promotion")


def test_another_key_purpose_or_signature_is_noticed():
    signature = sign(RECORD, KEY, purpose="promotion")
    for key, purpose, text in (
        (b"x" * 32, "promotion", signature),
        (KEY, "publication", signature),
        (KEY, "promotion", ""),
        (KEY, "promotion", signature.upper()),
        (KEY, "promotion", "é" + signature[1:]),
        (KEY, "promotion", signature[:-1]),
    ):
        with pytest.raises(IntegrityError):
            verify_signature(RECORD, text, key, purpose=purpose)


def test_what_json_cannot_say_is_not_signed():
    with pytest.raises(IntegrityError, match="cannot be signed: Out of range float"):
        sign({"metric": float("nan")}, KEY, purpose="promotion")


def test_the_key_file_is_made_once_and_is_private(tmp_path):
    first = load_key(tmp_path)
    path = tmp_path / "keys" / "signing.key"
    assert load_key(tmp_path) == first
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    keys, barrier = [], threading.Barrier(8)

    def load():
        barrier.wait()
        keys.append(load_key(tmp_path))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_that_others_can_read_or_guess_is_refused(tmp_path):
    load_key(tmp_path)
    path = tmp_path / "keys" / "signing.key"
    path.chmod(0o644)
    with pytest.raises(EnvironmentFault, match=r"has mode 0644, expected 0600[\s\S]*chmod 600"):
        load_key(tmp_path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(EnvironmentFault, match="holds 5 bytes, expected at least 32"):
        load_key(tmp_path)


def test_the_key_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OK_ML_TEST_KEY", "s" * 40)
    assert load_key(tmp_path, "OK_ML_TEST_KEY") == b"s" * 40
    assert not (tmp_path / "keys").exists()
    monkeypatch.setenv("OK_ML_TEST_KEY", "s3cret")
    with pytest.raises(ConfigError, match="OK_ML_TEST_KEY, which holds 6 bytes") as caught:
        load_key(tmp_path, "OK_ML_TEST_KEY")
    assert "s3cret" not in str(caught.value)
    monkeypatch.delenv("OK_ML_TEST_KEY")
    with pytest.raises(ConfigError, match="OK_ML_TEST_KEY, which is not set"):
        load_key(tmp_path, "OK_ML_TEST_KEY")


def test_the_hash_of_a_file(tmp_path):
    (tmp_path / "model.txt").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "model.txt") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
