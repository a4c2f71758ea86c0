"""The sections of the YAML as frozen models."""
