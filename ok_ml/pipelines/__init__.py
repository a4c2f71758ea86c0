"""Pipeline types, a folder each: `stages.py` of a folder holds its `TYPE`, and the folder's name is its name in the YAML."""
