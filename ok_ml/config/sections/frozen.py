"""What every part of the configuration tree is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


KeyPath = tuple[str | int, ...]  # from the top of a file to a key or an item of a list
Port = Annotated[int, Field(ge=1024, le=65535)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
