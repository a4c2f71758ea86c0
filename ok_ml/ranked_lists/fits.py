"""What a pipeline of lists fits, always by one recipe: for training rows, for the evaluation, and every day for serving."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.errors import GateRefused, IntegrityError
from ok_ml.lake import WHOLE, Manifest, fingerprint, tree_fingerprint, tree_sha256
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.signing import load_key, sign, verify_signature

if TYPE_CHECKING:
    from ok_ml.recommender.retrieval.activity import Activity
    from ok_ml.recommender.retrieval.fitted import Fitted, RetrievalRecipe
    from ok_ml.recommender.retrieval.neighbours import Neighbours
    from ok_ml.recommender.retrieval.popularity import Popularity
    from ok_ml.recommender.vectors.embeddings import Factors

EVAL: Final = "eval"
_HALF_LIFE: Final = "half_life_days"
_RECORD: Final = "retrieval_record.json"


def fit_at(pipeline: ListPipeline, dt: str, recipe: "RetrievalRecipe", session: Callable[[], Any]) -> "Fitted":
    """Vectors, neighbours and popularity from the events up to the end of a day.

    Parameters
    ----------
    session
        Gives Spark where the engine asks for it.
    """
    from ok_ml.recommender.retrieval.fitted import Fitted

    factors, neighbours = _factors(pipeline, dt, recipe, session), _neighbours(pipeline, dt, recipe)
    half_lives = recipe.popularity_half_life_days, recipe.recent_half_life_days, None
    popular, recent, all_time = _popularities(pipeline, dt, half_lives)
    met = activity(pipeline, dt, recipe.activity_half_life_days)
    return Fitted(factors, neighbours, popular, recent, all_time, met)


def popularity(pipeline: ListPipeline, dt: str, half_life_days: float | None) -> "Popularity":
    """What is popular in the window of the vectors that ends with a day."""
    (counted,) = _popularities(pipeline, dt, [half_life_days])
    return counted


def _popularities(pipeline: ListPipeline, dt: str, half_lives: Sequence[float | None]) -> "list[Popularity]":
    from ok_ml.recommender.retrieval.popularity import popularities_from_events

    where = pipeline.lake, pipeline.dataset_scope, pipeline.learnt_dts(dt)
    return popularities_from_events(*where, pipeline.dataset.weights, dt, half_lives)


def activity(pipeline: ListPipeline, dt: str, half_life_days: float) -> "Activity":
    """What users met in the window of the vectors that ends with a day; being shown a source counts as much as a like."""
    from ok_ml.recommender.retrieval.activity import Activity
    from ok_ml.recommender.vectors.interactions import interactions_from_events

    weights = {**pipeline.dataset.weights, c.IMPRESSION: 1.0}
    days = pipeline.learnt_dts(dt)
    return Activity.of(
        interactions_from_events(pipeline.lake, pipeline.dataset_scope, days, weights, dt, half_life_days)
    )


def brought_up_to(pipeline: ListPipeline, fitted: "Fitted", dt: str) -> "Fitted":
    """Vectors and neighbours that were fitted before, with what is popular, and what users met, as of `dt`."""
    recipe = recipe_of_fits(pipeline)
    popular, recent = _popularities(pipeline, dt, [recipe.popularity_half_life_days, recipe.recent_half_life_days])
    return replace(
        fitted,
        popularity=popular,
        recent=recent,
        activity=activity(pipeline, dt, recipe.activity_half_life_days),
    )


def _factors(
    pipeline: ListPipeline, dt: str, recipe: "RetrievalRecipe", session: Callable[[], Any] | None
) -> "Factors":
    from ok_ml.recommender.vectors.embeddings import create_engine, require_factors
    from ok_ml.recommender.vectors.interactions import embedding_weights, interactions_from_events

    stage = recipe.embeddings
    interactions = interactions_from_events(
        pipeline.lake,
        pipeline.dataset_scope,
        pipeline.learnt_dts(dt),
        embedding_weights(pipeline.dataset.weights, stage),
        dt,
        stage.half_life_days,
    )
    engine = create_engine(stage.engine, session=session, root=pipeline.project.root)
    return require_factors(engine.fit(interactions, stage, pipeline.config.seed), interactions, stage.engine)


def _neighbours(pipeline: ListPipeline, dt: str, recipe: "RetrievalRecipe") -> "Neighbours":
    from ok_ml.recommender.retrieval.neighbour_fits import fit_neighbours
    from ok_ml.recommender.retrieval.neighbours import Neighbours
    from ok_ml.recommender.vectors.interactions import interactions_from_events

    stage = recipe.neighbours
    if not stage.models:
        return Neighbours.none()
    interactions = interactions_from_events(
        pipeline.lake,
        pipeline.dataset_scope,
        pipeline.learnt_dts(dt),
        pipeline.dataset.weights,
        dt,
        stage.half_life_days,
    )
    return fit_neighbours(interactions, stage)


# -- for training and evaluation -----------------------------------------------------------------------------------


def commit_fits(
    pipeline: ListPipeline, cuts: Mapping[str, str], session: Callable[[], Any], progress: Callable[[str], None]
) -> Manifest:
    """Choose the half-life of popularity, fit up to each of some cuts, EVAL among them, and commit all together.

    Parameters
    ----------
    cuts
        Name of a fit -> the last day of its events; a cut that comes twice is fitted once.
    """
    from ok_ml.ranked_lists.half_life import choose_half_life
    from ok_ml.recommender.retrieval.fitted import Fitted

    inputs, names = pipeline.inputs_of(c.EMBEDDINGS), list(cuts)
    chosen = choose_half_life(pipeline, cuts[EVAL])
    progress(f"popularity: {chosen.reason}")
    recipe = _recipe(pipeline, chosen.days)
    with pipeline.lake.staged(pipeline.name, c.EMBEDDINGS, WHOLE) as folder:
        for number, (name, dt) in enumerate(cuts.items()):
            progress(f"embeddings {number + 1} of {len(cuts)}: {name}, events up to {dt}")
            same_cut = next((other for other in names[:number] if cuts[other] == dt), None)
            if same_cut is not None:
                shutil.copytree(folder / same_cut, folder / name)
            else:
                fit_at(pipeline, dt, recipe, session).save(folder / name)
        newest = Fitted.load(folder / EVAL).factors
        return pipeline.lake.commit(
            folder,
            rows=len(newest.user_ids) + len(newest.source_ids),
            inputs=inputs,
            data_version=fingerprint({name: tree_fingerprint(folder / name) for name in cuts}),
            details={
                **{f"{name}_cut": dt for name, dt in cuts.items()},
                **_counts(newest, recipe),
                _HALF_LIFE: recipe.recent_half_life_days,
                "half_lives": {str(days): round(value, 6) for days, value in chosen.judged.items()},
            },
        )


def recipe_of_fits(pipeline: ListPipeline) -> "RetrievalRecipe":
    """How the newest fits were made."""
    return _recipe(pipeline, pipeline.lake.manifest(pipeline.name, c.EMBEDDINGS).details[_HALF_LIFE])


def _recipe(pipeline: ListPipeline, recent_half_life_days: float | None) -> "RetrievalRecipe":
    from ok_ml.recommender.retrieval.fitted import RetrievalRecipe

    return RetrievalRecipe(
        pipeline.config.stages.embeddings,
        pipeline.neighbours_stage,
        pipeline.popularity_half_life_days,
        recent_half_life_days,
        pipeline.activity_half_life_days,
    )


def fitted_for(pipeline: ListPipeline, name: str) -> "Fitted":
    """A committed fit: EVAL, or another of the type."""
    from ok_ml.recommender.retrieval.fitted import Fitted

    manifest = pipeline.lake.manifest(pipeline.name, c.EMBEDDINGS)
    return Fitted.load(pipeline.lake.folder(manifest) / name)


def refitted_by(pipeline: ListPipeline, recipe: "RetrievalRecipe", known: "Fitted", dt: str) -> "Fitted | None":
    """What another recipe would have fitted up to the evaluation; only what differs from the known fit is fitted again.

    None where that needs Spark, or the project's own code of another time: it is not repeated for a comparison.
    """
    present = recipe_of_fits(pipeline)
    if recipe.embeddings != present.embeddings:
        if recipe.embeddings.engine != "implicit":
            return None
        known = replace(known, factors=_factors(pipeline, dt, recipe, None))
    if recipe.neighbours != present.neighbours:
        known = replace(known, neighbours=_neighbours(pipeline, dt, recipe))
    if recipe.popularity_half_life_days != present.popularity_half_life_days:
        known = replace(known, popularity=popularity(pipeline, dt, recipe.popularity_half_life_days))
    if recipe.recent_half_life_days != present.recent_half_life_days:
        known = replace(known, recent=popularity(pipeline, dt, recipe.recent_half_life_days))
    if recipe.activity_half_life_days != present.activity_half_life_days:
        known = replace(known, activity=activity(pipeline, dt, recipe.activity_half_life_days))
    return known


# -- for serving ---------------------------------------------------------------------------------------------------


def commit_retrieval(
    pipeline: ListPipeline, session: Callable[[], Any], *, progress: Callable[[str], None]
) -> Manifest:
    """Fit by the champion's recipe up to the newest day, and commit; what is there and current is returned as it is."""
    from ok_ml.recommender.retrieval.fitted import RetrievalRecipe

    dt = pipeline.calendar().serve_cut
    inputs = pipeline.inputs_of(c.RETRIEVAL, dt)
    if pipeline.lake.is_current(pipeline.name, c.RETRIEVAL, dt, inputs):
        return pipeline.lake.manifest(pipeline.name, c.RETRIEVAL, dt)
    bundle, record = champion_bundle(pipeline)
    recipe = RetrievalRecipe.load(bundle)
    progress(f"candidates of {dt}, fitted as for model version {record.model_version}")
    with pipeline.lake.staged(pipeline.name, c.RETRIEVAL, dt) as folder:
        fitted = fit_at(pipeline, dt, recipe, session)
        fitted.save(folder)
        version = tree_fingerprint(folder)
        _sign(pipeline, folder, dt, record.model_version)
        return pipeline.lake.commit(
            folder,
            rows=len(fitted.factors.user_ids) + len(fitted.factors.source_ids),
            inputs=inputs,
            data_version=version,
            details={**_counts(fitted.factors, recipe), _HALF_LIFE: recipe.recent_half_life_days},
        )


def served_popularity(pipeline: ListPipeline, dt: str) -> "Popularity":
    """What is popular as of a day that is served: of its fit, or of a type without one, counted by the champion's recipe."""
    from ok_ml.recommender.retrieval.fitted import Fitted, RetrievalRecipe

    if pipeline.type.has(c.RETRIEVAL):
        return Fitted.load(pipeline.lake.folder(pipeline.lake.manifest(pipeline.name, c.RETRIEVAL, dt))).popularity
    return popularity(pipeline, dt, RetrievalRecipe.load(champion_bundle(pipeline)[0]).popularity_half_life_days)


def retrieval_of(pipeline: ListPipeline, dt: str) -> Path:
    """Where the day's fit is committed, verified by signature and by its own bytes.

    Raises
    ------
    GateRefused
        It is not there, or was not made by the present champion's recipe from what is there now.
    IntegrityError
        It was changed after it was made.
    """
    if not pipeline.is_current(c.RETRIEVAL, dt):
        raise GateRefused(
            f"{pipeline.name}: what the candidates of {dt} come from is not fitted for the present champion",
            why="lists would be served that nothing has judged",
            remedy=f"materialise {pipeline.name}/{c.RETRIEVAL} first, e.g. by `ok-ml run {pipeline.name}`",
        )
    folder = pipeline.lake.folder(pipeline.lake.manifest(pipeline.name, c.RETRIEVAL, dt))
    _verify(pipeline, folder, dt)
    return folder


def _sign(pipeline: ListPipeline, folder: Path, dt: str, model_version: str) -> None:
    """Say under a signature which bytes were fitted, for which day and model."""
    said = {
        "experiment": pipeline.name,
        "dt": dt,
        "model_version": model_version,
        "sha256": tree_sha256(folder, without=(_RECORD,)),
    }
    signature = sign(said, _key(pipeline), purpose=c.RETRIEVAL)
    (folder / _RECORD).write_text(json.dumps({**said, "signature": signature}, indent=1))


def _verify(pipeline: ListPipeline, folder: Path, dt: str) -> None:
    said = json.loads((folder / _RECORD).read_text())
    verify_signature(said, said.pop("signature"), _key(pipeline), purpose=c.RETRIEVAL)
    actual = tree_sha256(folder, without=(_RECORD,))
    if (said["experiment"], said["dt"], said["sha256"]) != (pipeline.name, dt, actual):
        raise IntegrityError(
            f"{pipeline.name}: what the candidates of {dt} come from has SHA-256 {actual[:16]}..., its record is of"
            f" {said['experiment']}, {said['dt']}, {said['sha256'][:16]}...",
            why="changed vectors or popularity would be served to all users without an error",
            remedy=f"ok-ml run {pipeline.name} --force, which fits them again",
        )


def _key(pipeline: ListPipeline) -> bytes:
    return load_key(pipeline.project.state_dir, pipeline.project.environment.signing_key_env)


def _counts(factors: "Factors", recipe: "RetrievalRecipe") -> dict[str, Any]:
    return {
        "users": len(factors.user_ids),
        "sources": len(factors.source_ids),
        "factors": factors.width,
        "engine": recipe.embeddings.engine,
        "neighbours": ", ".join(recipe.neighbours.models) or "none",
    }
