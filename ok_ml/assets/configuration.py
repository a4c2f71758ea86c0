"""The configuration of an experiment as an asset: when it changed, and from what to what."""

import dagster as dg

from ok_ml import keys
from ok_ml.pipelines.source_recommendation import SourceRecommendation

_ABOUT = """\
The YAML and the code version that a training reads.

Observed by the automation sensor whenever they change, with what changed. A limit of a check, a freshness, the gate or
another experiment's file are not part of it."""


def config_asset(pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    """The source `<experiment>/config`: nothing makes it, people write it. It has no freshness: it does not age."""
    spec = dg.AssetSpec(
        keys.asset_key(pipeline.name, keys.CONFIG),
        description=_ABOUT,
        group_name=keys.group(pipeline.name, keys.CONFIG),
        owners=list(pipeline.config.owners),
        kinds={"yaml"},
        tags={"experiment": pipeline.name},
        code_version="1",
    )
    return dg.AssetsDefinition(specs=[spec])
