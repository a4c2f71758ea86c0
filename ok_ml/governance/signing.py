"""Signatures of promotion records: see `ok_ml.signing`, which control records of publications use too."""

from ok_ml.signing import KEY_FILE, MIN_KEY_BYTES, canonical_json, load_key, sha256_of_file, sign, verify_signature

__all__ = ["KEY_FILE", "MIN_KEY_BYTES", "canonical_json", "load_key", "sha256_of_file", "sign", "verify_signature"]
