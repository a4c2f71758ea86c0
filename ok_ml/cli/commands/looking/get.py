"""`ok-ml get`: what one user is served now, read from the storage itself."""

from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import Settings, command, known_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table
from ok_ml.columns import PROBABILITY, USER_ID
from ok_ml.config.models import DatasetConfig, Project, TextsConfig
from ok_ml.hashing import text_id

if TYPE_CHECKING:
    from ok_ml.delivery.manifest import Answer


@command(
    "get",
    examples=["ok-ml get prod_discovery 42", "ok-ml get prod_discovery 42 -n 5 --json"],
    context_settings={"ignore_unknown_options": True},  # an id may be negative
)
@click.argument("experiment")
@click.argument("entity_id")
@click.option("-n", "most", type=click.IntRange(min=1), help="At most so many sources; default: all that are served.")
def get(settings: Settings, *, experiment: str, entity_id: str, most: int | None, as_json: bool) -> None:
    """Show what is served to ENTITY_ID now, best first.

    An unknown entity gets the fallback list, and that is said. It reads the storage as the service does: same generation, same list, no server needed.
    """
    from ok_ml.delivery.storage import open_store

    project = settings.project()
    name = known_experiment(project, experiment)
    store = open_store(project.environment.storage, project.root)
    try:
        # Size and every value's own checksum are verified always; hashing the whole file is the service's business.
        reader = store.reader(name, verify=False)
        answer = reader.get_many([_key_of(project, name, entity_id)], with_names=True)
        reader.close()
    finally:
        store.close()
    if answer is None:
        raise _nothing_published(name)
    document = as_document(name, entity_id, answer, most)
    if as_json:
        write_json(document)
    else:
        _print(document)


def as_document(experiment: str, entity_id: str, answer: "Answer", most: int | None) -> dict[str, Any]:
    """The answer as JSON says it; ids are text, since int64 beyond 2^53 breaks clients."""
    from ok_ml.columns import REASON_NAMES

    if answer.manifest.labels:
        return _scores_document(experiment, entity_id, answer)
    own = answer.lists[0]
    served = answer.fallback if own is None else own
    assert served is not None  # noqa: S101 - every generation of lists has a fallback
    sources = []
    for source, score, reason in zip(
        served.source_ids[:most].tolist(), served.scores.tolist(), served.reasons.tolist(), strict=False
    ):
        named = answer.names.get(source)
        sources.append(
            {
                "source_id": str(source),
                "name": named.name if named else None,
                "topic": named.topic if named else None,
                "score": round(score, 6),
                "reason": REASON_NAMES[reason],
            }
        )
    return {
        "experiment": experiment,
        "entity_id": entity_id,
        "generation": answer.manifest.name,
        "model_version": str(answer.manifest.model_version),
        "scores": answer.manifest.scores_are,
        "fallback": served.is_fallback or own is None,
        "known": own is not None,
        "sources": sources,
    }


def _scores_document(experiment: str, entity_id: str, answer: "Answer") -> dict[str, Any]:
    scores, labels = answer.scores[0], answer.manifest.labels
    return {
        "experiment": experiment,
        "entity_id": entity_id,
        "generation": answer.manifest.name,
        "model_version": str(answer.manifest.model_version),
        "known": scores is not None,
        "decided": labels[scores.decided] if scores is not None and scores.decided >= 0 else None,
        "labels": dict(zip(labels, scores.scores.tolist(), strict=True)) if scores is not None else {},
    }


def _print_scores(document: dict[str, Any]) -> None:
    if not document["known"]:
        say(f"{document['entity_id']} is not in this generation: only what was in the newest batch is scored.")
    best = sorted(document["labels"].items(), key=lambda item: -item[1])
    rows = [[label, f"{score:.4f}", "decided" if label == document["decided"] else ""] for label, score in best]
    write_table(["label", "probability", ""], rows, right=["probability"])
    write_line(f"\ngeneration {document['generation']}, model version {document['model_version']}")


def _print(document: dict[str, Any]) -> None:
    if "labels" in document:
        _print_scores(document)
        return
    if not document["known"]:
        say(f"{document['entity_id']} is unknown to this generation: every unknown id gets this fallback list.")
    elif document["fallback"]:
        say(f"{document['entity_id']} has no history yet: this is the fallback list.")
    rows = [
        [place, source["source_id"], source["name"], source["topic"], source["score"], source["reason"]]
        for place, source in enumerate(document["sources"], start=1)
    ]
    score = PROBABILITY if document["scores"] == PROBABILITY and not document["fallback"] else "score"
    write_table(["", "source", "name", "topic", score, "why"], rows, right=["", "source", score])
    fallback = ", fallback" if document["fallback"] else ""
    write_line(f"\ngeneration {document['generation']}, model version {document['model_version']}{fallback}")


def _key_of(project: Project, experiment: str, entity_id: str) -> int | str:
    """The id under which an entity's prediction is stored; where the raw data name it by a text it is the text's hash."""
    dataset = project.dataset_of(experiment)
    if isinstance(dataset, TextsConfig):
        from ok_ml.datasets.texts import id_of_text

        key = _parsed(entity_id)
        return key if isinstance(key, int) else id_of_text(entity_id)
    assert isinstance(dataset, DatasetConfig)  # noqa: S101 - there are no other kinds
    events = dataset.events
    if USER_ID in events.hash_ids:
        from ok_ml.datasets.conversion.spelling import spelt_text

        return text_id(spelt_text(entity_id, events.id_spelling.get(USER_ID)))
    return _parsed(entity_id)


def _parsed(entity_id: str) -> int | str:
    """An id of digits is an int64, anything else is text, as the publisher keys them."""
    digits = entity_id.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return entity_id
    number = int(entity_id)
    if not -(2**63) <= number < 2**63:
        raise click.BadParameter(f"{entity_id} does not fit into 64 bits", param_hint="ENTITY_ID")
    return number


def _nothing_published(experiment: str) -> Exception:
    from ok_ml.errors import Stale

    return Stale(
        f"{experiment} has no generation: nothing was published and verified yet",
        why="predictions are served from the last verified generation only",
        remedy=f"make one: ok-ml run {experiment}",
    )
