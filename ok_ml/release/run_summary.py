"""What a run says at its end: metrics against the baselines, a user with a served list, content hashes."""

from typing import Any, Protocol

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Manifest
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import Grain
from ok_ml.stages.training import SIMPLE_LIST


class Summary(Protocol):
    """The fields of a run's summary that the pipeline fills."""

    metrics: list[dict[str, Any]]
    comparison: list[dict[str, Any]]
    example_user: str | None
    generation: str | None
    model_version: int | None
    simple_list: str | None
    content: dict[str, str]


def describe_run(pipeline: Pipeline, summary: Summary) -> None:
    """Fill metrics, example user, generation, model version and content hashes from what is committed."""
    lake, name = pipeline.lake, pipeline.name
    if lake.find(name, c.EVALUATION):
        summary.metrics = metric_rows(pipeline)
        summary.comparison = comparison_rows(pipeline)
    champion, publication = lake.find(name, c.CHAMPION), lake.find(name, c.PUBLICATION)
    summary.model_version = int(champion.details["model_version"]) if champion else None
    summary.simple_list = simple_list(champion) if champion else None
    summary.generation = str(publication.details["generation_name"]) if publication else None
    latest = pipeline.calendar().serve_cut
    if lake.find(name, c.PREDICTIONS, latest):
        summary.example_user = pipeline.kind.example(pipeline, latest)
    # What a model and its predictions are made of; numbers and decisions about them are not content.
    made = [*pipeline.type.made_for(c.MODEL)[:-1], pipeline.type.stage(c.PREDICTIONS)]
    tables = {stage.name: WHOLE if stage.grain is Grain.WHOLE else latest for stage in made}
    summary.content = {
        f"{name}/{table}": manifest.data_version
        for table, dt in tables.items()
        if (manifest := lake.find(name, table, dt))
    }
    scope, log = pipeline.dataset_scope, pipeline.dataset.kind
    summary.content[f"{scope}/{log}/{latest}"] = lake.manifest(scope, log, latest).data_version


def simple_list(champion: Manifest) -> str | None:
    """Why a champion is a simple list; None where it was learnt."""
    named = champion.details.get(SIMPLE_LIST)
    return f"{named} ({'; '.join(champion.details['reasons'])})" if named is not None else None


def metric_rows(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Each metric of the newest model with those of some baselines, as name, value, unit, peer, peer_value, ratio."""
    from ok_ml.stages.evaluation import load_evaluation

    evaluated = load_evaluation(pipeline)
    rows = []
    for metric, value in evaluated.metrics(pipeline.challenger).items():
        for peer in pipeline.peers:
            other = evaluated.metrics(peer).get(metric)
            if other is None or value is None:
                continue
            ratio = round(value / other, 4) if other else None
            rows.append(
                {
                    "name": f"{pipeline.challenger} {metric}",
                    "value": value,
                    "unit": "share",
                    "peer": peer,
                    "peer_value": other,
                    "ratio": ratio,
                }
            )
    return rows


def comparison_rows(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Every model's metrics, the paired differences with their intervals, and shares of the way to the oracle."""
    from ok_ml.stages.evaluation import load_evaluation

    return [row for row in load_evaluation(pipeline).rows if row["kind"] != "segment"]
