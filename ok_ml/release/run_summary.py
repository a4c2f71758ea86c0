"""What a run says at its end: metrics against the baselines, a user with a served list, content hashes."""

from typing import Any, Protocol

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Manifest
from ok_ml.stages.pipeline import Pipeline


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
        summary.example_user = example_user(pipeline, latest)
    tables = dict.fromkeys((*c.FEATURE_TABLES, c.PREDICTIONS), latest) | {c.TRAINING_SET: WHOLE, c.EMBEDDINGS: WHOLE}
    summary.content = {
        f"{name}/{table}": found.data_version for table, dt in tables.items() if (found := lake.find(name, table, dt))
    }
    events = {dt: lake.manifest(pipeline.dataset_scope, c.EVENTS, dt).data_version for dt in pipeline.committed()}
    summary.content[f"{pipeline.dataset_scope}/{c.EVENTS}/{latest}"] = events[latest]


def simple_list(champion: Manifest) -> str | None:
    """Why a champion is a simple list; None where it was learnt."""
    from ok_ml.pipelines.source_recommendation.training import SIMPLE_LIST

    named = champion.details.get(SIMPLE_LIST)
    return f"{named} ({'; '.join(champion.details['reasons'])})" if named is not None else None


def metric_rows(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Each metric of the two-stage model beside the best baseline's, as name, value, unit, peer, peer_value, ratio."""
    from ok_ml.stages.evaluation import load_evaluation

    evaluated = load_evaluation(pipeline)
    rows = []
    for metric, value in evaluated.metrics("two_stage").items():
        for peer in ("popularity", "embeddings", "oracle"):
            other = evaluated.metrics(peer).get(metric)
            if other is None or value is None:
                continue
            ratio = round(value / other, 4) if other else None
            rows.append(
                {
                    "name": f"two_stage {metric}",
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


def example_user(pipeline: Pipeline, dt: str) -> str:
    """The first user, in order of id, whose list is their own and not the fallback; else the first user."""
    import pyarrow.compute as pc

    table = pipeline.lake.read(pipeline.name, c.PREDICTIONS, [dt], columns=[c.USER_ID, c.IS_FALLBACK])
    own = table.filter(pc.invert(table[c.IS_FALLBACK]))
    users = (own if own.num_rows else table)[c.USER_ID]
    return str(pc.min(users).as_py())
