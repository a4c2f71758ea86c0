"""Files of the configuration that commands write: YAML with a remark above it."""

import io
from pathlib import Path

from pydantic import BaseModel

from ok_ml.atomic_write import replace_file


def write_model(path: Path, remark: str, model: BaseModel) -> Path:
    """Write a model as YAML under a remark of one line, as a whole or not at all; returns the path."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    text.write(f"# {remark}\n")
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.dump(model.model_dump(mode="json"), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.getvalue().encode())
    return path
