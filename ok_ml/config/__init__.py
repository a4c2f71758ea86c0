"""The YAML as one checked, frozen tree."""
