"""The description of the API as OpenAPI 3.1, generated from the declared routes and the models of what they answer."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ok_ml.columns import ORDER, PROBABILITY, REASON_NAMES
from ok_ml.serving.problems import TITLES
from ok_ml.serving.requests import MAX_IDS, MAX_N

API_VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{model}"

EntityId = Annotated[
    str, Field(pattern="^(0|-?[1-9][0-9]{0,18})$", description="int64 in decimal digits: JSON numbers lose digits.")
]
ListLength = Annotated[int, Field(ge=1, le=MAX_N, description="At most so many sources.")]


class Source(BaseModel):
    """One recommended source."""

    source_id: EntityId
    name: Annotated[str | None, Field(description="Null if none is known.")]
    topic: Annotated[str | None, Field(description="Null if none is known.")]
    score: Annotated[float, Field(description="See `scores`; of a fallback list it only orders the list.")]
    reason: Annotated[
        str, Field(json_schema_extra={"enum": list(REASON_NAMES)}, description="How the source came into the list.")
    ]


class Result(BaseModel):
    """The list of one entity, best first."""

    entity_id: EntityId
    fallback: Annotated[bool, Field(description="Whether it is the list for users without history.")]
    predictions: Annotated[list[Source], Field(description="Best first.")]


class _Served(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    experiment: Annotated[str, Field(description="Name of the experiment that was asked for.")]
    generation: Annotated[str, Field(description="Name of the generation that the whole answer is from.")]
    model_version: Annotated[str, Field(description="Version of the model that made it.")]


class _ListsServed(_Served):
    scores: Annotated[
        str,
        Field(
            json_schema_extra={"enum": [PROBABILITY, ORDER]},
            description="What scores are: calibrated probabilities of a reaction within the days that the evaluation counts, or "
            "numbers that compare within one list only.",
        ),
    ]


class Prediction(Result, _ListsServed):
    """The list of one entity, and what it was made by."""


class BatchPrediction(_ListsServed):
    """One result for each id, in the order asked for, all from one generation."""

    results: Annotated[list[Result], Field(description="Parallel to the ids.")]


class LabelResult(BaseModel):
    """What a model of labels says of one text."""

    entity_id: EntityId
    known: Annotated[bool, Field(description="Whether the text is in this generation.")]
    decided: Annotated[str | None, Field(description="The label that is decided for; null: none is sure enough.")]
    labels: Annotated[dict[str, float], Field(description="Label -> calibrated probability.")]


class LabelPrediction(LabelResult, _Served):
    """The label scores of one text, and what they were made by."""


class BatchLabelPrediction(_Served):
    """One result for each id, in the order asked for, all from one generation."""

    results: Annotated[list[LabelResult], Field(description="In the order of the ids.")]


class BatchRequest(BaseModel):
    """The entities whose lists are wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"entity_ids": ["1", "2"]}]})

    entity_ids: Annotated[
        list[EntityId | Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]],
        Field(max_length=MAX_IDS, description="Decimal digits, or integers that fit 64 bits."),
    ]
    n: Annotated[ListLength | None, Field(description="At most so many sources of each list.")] = None


class Problem(BaseModel):
    """Why there is no answer, and what to do (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(description="Always about:blank: the status says the kind.")]
    title: Annotated[str, Field(description="One sentence that fits the status.")]
    status: Annotated[int, Field(description="HTTP status.")]
    detail: Annotated[str, Field(description="What is wrong, expected and received.")]
    why: Annotated[str, Field(description="Why it matters.")]
    remedy: Annotated[str, Field(description="What to do.")]


@dataclass(frozen=True)
class Operation:
    """What the description says of a route beyond its address.

    Attributes
    ----------
    answer, body
        Models of the JSON answered and sent; no answer: plain text.
    meaning
        What an answer with status 200 says.
    problems
        Statuses of the problems that it may answer.
    query
        Parameters of the query: name -> type.
    or_else
        Model of the JSON answered where predictions are label scores.
    """

    summary: str
    answer: type | None
    meaning: str
    problems: tuple[int, ...] = ()
    body: type | None = None
    query: dict[str, Any] = field(default_factory=dict)
    or_else: type | None = None


class ApiRoute(Route):
    """A route of the description; `name` is its operation id."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response] | Response],
        operation: Operation,
        *,
        name: str,
        methods: list[str] | None = None,
    ) -> None:
        super().__init__(path, endpoint, name=name, methods=methods)
        self.operation = operation


def document(routes: Sequence[BaseRoute], experiments: Sequence[str]) -> dict[str, Any]:
    """The whole description; the experiments that are served are its examples."""
    described = [route for route in routes if isinstance(route, ApiRoute)]
    said = [model for route in described for model in (route.operation.answer, route.operation.or_else)]
    answers = [model for model in said if model is not None]
    bodies = [route.operation.body for route in described if route.operation.body is not None]
    models: list[tuple[type, Any, TypeAdapter[Any]]] = [
        (model, mode, TypeAdapter(model))
        for mode, found in (("serialization", [*answers, Problem]), ("validation", bodies))
        for model in dict.fromkeys(found)
    ]
    refs, schemas = TypeAdapter.json_schemas(models, ref_template=_REF)
    by_model = {model: schema for (model, _mode), schema in refs.items()}
    sent = {model.__name__ for model in bodies}
    for name, schema in schemas["$defs"].items():
        schema.setdefault("additionalProperties", False)
        schema["description"] = schema["description"].partition("\n\n")[0]
        if name not in sent:
            schema["required"] = list(schema["properties"])  # what is answered is whole
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ok_ml predictions",
            "version": API_VERSION,
            "description": "Recommended sources by user id. Every answer is whole from one generation.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            route.path_format: {
                method.lower(): _operation(route, by_model, experiments)
                for method in sorted((route.methods or set()) - {"HEAD"})
            }
            for route in described
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(route: ApiRoute, by_model: dict[Any, Any], experiments: Sequence[str]) -> dict[str, Any]:
    told = route.operation
    known: dict[str, Any] = {
        "experiment": {"type": "string", "examples": list(experiments)},
        "entity_id": TypeAdapter(EntityId).json_schema(),
    }
    parameters = [_parameter(name, "path", known[name]) for name in route.param_convertors]
    parameters += [_parameter(name, "query", TypeAdapter(kind).json_schema()) for name, kind in told.query.items()]
    kind, schema = "application/json", by_model.get(told.answer)
    if schema is None:
        kind, schema = "text/plain", {"type": "string"}
    elif told.or_else is not None:
        schema = {"oneOf": [schema, by_model[told.or_else]]}
    answers = {"200": {"description": told.meaning, "content": {kind: {"schema": schema}}}}
    problem = {"application/problem+json": {"schema": by_model[Problem]}}
    for status in told.problems:
        answers[str(status)] = {"description": f"{TITLES[status]}.", "content": problem}
    operation: dict[str, Any] = {"operationId": route.name, "summary": told.summary, "responses": answers}
    if parameters:
        operation["parameters"] = parameters
    if told.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": by_model[told.body]}}}
    return operation


def _parameter(name: str, where: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}
