"""The gate, in the pipeline: decide, sign, move the alias, and keep the champion's bundle where serving reads it."""

import shutil
from pathlib import Path
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.extensions import named_code, source_of
from ok_ml.config.models import Project
from ok_ml.errors import GateRefused, IntegrityError
from ok_ml.governance.lineage import collect_lineage, hash_of, require_provenance
from ok_ml.governance.promotion import Decision, PromotionRecord, decide, verify
from ok_ml.governance.promotion import promote as sign_promotion
from ok_ml.governance.signing import load_key, sha256_of_file
from ok_ml.lake import WHOLE, Manifest, fingerprint, tree_sha256
from ok_ml.pipelines.evaluating import CHAMPION_NAME, Evaluated, load_evaluation
from ok_ml.pipelines.source_recommendation import SourceRecommendation
from ok_ml.pipelines.training import model_file
from ok_ml.recommender.baselines import POPULARITY, TWO_STAGE

LOCAL: Final = "local"  # the environment of a developer's machine
RECORD_FILE: Final = "promotion.json"
ALIAS: Final = "champion"
DECIDED: Final = "decided"  # in the champion's details: the newest day and the recipe of the model that was judged last


def promote(pipeline: SourceRecommendation, registry: Any, *, dagster_run_id: str) -> Manifest:
    """Compare the newest model with the present champion and commit who is champion from now on.

    Parameters
    ----------
    registry
        An MlflowClient of the model registry; its alias moves before the lake's champion is committed, so that the
        lake never names a version that the registry does not call champion.

    Returns
    -------
    The manifest of the champion: a new bundle, or the old one with the reasons why it stayed.

    Raises
    ------
    GateRefused
        The newest evaluation judged another model than the newest one; or the first model was refused.
    """
    challenger = pipeline.lake.manifest(pipeline.name, c.MODEL)
    evaluated, inputs = _evaluation_of(pipeline, challenger), pipeline.champion_inputs()
    decision = _decide(pipeline, evaluated)
    present = pipeline.lake.find(pipeline.name, c.CHAMPION)
    if not decision.promote:
        kept = _keep(pipeline, challenger, present, decision, inputs)
        # A promotion that was killed after the alias moved left it on a model that never became champion.
        registry.set_registered_model_alias(pipeline.name, ALIAS, kept.details["model_version"])
        return kept
    record = _signed(pipeline, challenger, present, evaluated, decision, dagster_run_id)
    registry.set_registered_model_alias(pipeline.name, ALIAS, record.model_version)
    return _commit(pipeline, challenger, challenger, record, decision, inputs)


def require_promotable(project: Project) -> str:
    """What a promotion will ask for, asked before the work that leads to it; see `require_provenance`."""
    return require_provenance(project.root, strict=project.environment.environment != LOCAL)


def champion_bundle(pipeline: SourceRecommendation) -> tuple[Path, PromotionRecord]:
    """The champion's folder and its promotion record, verified by signature and by the model's own bytes.

    Raises
    ------
    GateRefused
        There is no champion.
    IntegrityError
        The record or the model was changed after it was signed.
    """
    manifest = pipeline.lake.find(pipeline.name, c.CHAMPION)
    if manifest is None:
        raise GateRefused(
            f"{pipeline.name} has no champion", why="production serves only a model that passed the gate with its lineage recorded",
            remedy=f"materialise {pipeline.name}/{c.CHAMPION}, e.g. by `ok-ml run {pipeline.name}`",
        )  # fmt: skip
    folder = pipeline.lake.folder(manifest)
    record = PromotionRecord.from_json((folder / RECORD_FILE).read_bytes())
    key = load_key(pipeline.project.state_dir, pipeline.project.environment.signing_key_env)
    verify(record, key, _model_sha(folder), experiment=pipeline.name)
    found = tree_sha256(folder, without=(RECORD_FILE,))
    if found != record.bundle_sha256:
        raise IntegrityError(
            f"{pipeline.name}: the champion's files have SHA-256 {found[:16]}..., its promotion record says"
            f" {record.bundle_sha256[:16] or 'nothing'}...",
            why="changed vectors or popularity would be served to everybody without an error",
            remedy=f"materialise {pipeline.name}/{c.MODEL} and what follows, which writes the bundle again",
        )
    return folder, record


def _evaluation_of(pipeline: SourceRecommendation, challenger: Manifest) -> Evaluated:
    judged = pipeline.lake.manifest(pipeline.name, c.EVALUATION)
    if judged.inputs.get(f"{pipeline.name}/{c.MODEL}") != fingerprint({WHOLE: challenger.data_version}):
        raise GateRefused(
            f"{pipeline.name}: the newest evaluation is of another model than version {challenger.details['model_version']}",
            why="a model would be promoted on the metrics of another one", remedy=f"materialise {pipeline.name}/{c.EVALUATION} first",
        )  # fmt: skip
    return load_evaluation(pipeline, judged)


def _decide(pipeline: SourceRecommendation, evaluated: Evaluated) -> Decision:
    metric = pipeline.config.gate.metric
    return decide(
        pipeline.config.gate,
        evaluated.metrics(TWO_STAGE),
        evaluated.metrics(CHAMPION_NAME) or None,
        evaluated.metrics(POPULARITY),
        difference=evaluated.difference(metric, TWO_STAGE, CHAMPION_NAME),
    )


def _signed(
    pipeline: SourceRecommendation, challenger: Manifest, present: Manifest | None, evaluated: Evaluated,
    decision: Decision, dagster_run_id: str,
) -> PromotionRecord:  # fmt: skip
    hashes, files = _extensions(pipeline, challenger)
    lineage = collect_lineage(
        pipeline.project.root,
        config_hash=hash_of({
            "experiment": pipeline.config.model_dump(mode="json"), "dataset": pipeline.dataset.model_dump(mode="json"),
        }),
        dataset_versions=_dataset_versions(pipeline, str(challenger.details["serve_cut"])),
        dagster_run_id=str(challenger.details.get("dagster_run_id") or dagster_run_id),
        seed=pipeline.config.seed,
        threads=pipeline.config.stages.model.num_threads,
        extensions=hashes,
        files=files,
        without_git=pipeline.project.environment.environment == LOCAL,
    )  # fmt: skip
    record = PromotionRecord(
        experiment=pipeline.name,
        model_version=str(challenger.details["model_version"]),
        model_sha256=_model_sha(pipeline.lake.folder(challenger)),
        bundle_sha256=tree_sha256(pipeline.lake.folder(challenger), without=(RECORD_FILE,)),
        metrics=evaluated.metrics(TWO_STAGE),
        champion_metrics=evaluated.metrics(CHAMPION_NAME) or None,
        popularity_metrics=evaluated.metrics(POPULARITY),
        decision=decision,
        lineage=lineage,
        previous_version=str(present.details.get("model_version", "")) if present else "",
    )
    environment = pipeline.project.environment
    key = load_key(pipeline.project.state_dir, environment.signing_key_env)
    # A checkout under development has uncommitted files; everywhere else a commit must say what code ran.
    return sign_promotion(record, key, require_clean_tree=environment.environment != LOCAL)


def _extensions(pipeline: SourceRecommendation, challenger: Manifest) -> tuple[dict[str, str], list[Path]]:
    """Hashes and files of the project's own code that made the challenger.

    Raises
    ------
    GateRefused
        A file lies outside the project, where git does not keep it, or has changed since the model was made.
    """
    root, made_with = pipeline.project.root.resolve(), _hashes_at_training(pipeline, challenger)
    hashes: dict[str, str] = {}
    files: list[Path] = []
    for kind, named, _ in named_code(pipeline.config.stages):
        source = source_of(kind, named, root)
        if source is None:
            continue
        paths = [source.path, *(path.resolve() for path in source.imports.values())]
        outside = [str(path) for path in paths if not path.is_relative_to(root)]
        if outside or source.sha256 not in made_with.get(named, set()):
            told = (
                f"{', '.join(outside)} lies outside the project"
                if outside
                else "its file has changed since the model was made"
            )
            raise GateRefused(
                f"{pipeline.name}: {kind.key} {named}: {told}", why="the commit would not say what code made the model",
                remedy="put the file into the project and commit it" if outside else f"materialise {pipeline.name}/{c.MODEL} and what is before it",
            )  # fmt: skip
        hashes[named] = source.sha256
        files += paths
    return hashes, files


def _hashes_at_training(pipeline: SourceRecommendation, challenger: Manifest) -> dict[str, set[str]]:
    """Whatever the records of the challenger and of what it was made from say under each name."""
    lake, name, cut = pipeline.lake, pipeline.name, pipeline.calendar().eval_cut
    found = [challenger, *(lake.find(name, table) for table in (c.EMBEDDINGS, c.TRAINING_SET))]
    found += [lake.find(name, table, cut) for table in c.FEATURE_TABLES]
    said: dict[str, set[str]] = {}
    for manifest in found:
        for key, value in manifest.inputs.items() if manifest is not None else ():
            said.setdefault(key, set()).add(value)
    return said


def _dataset_versions(pipeline: SourceRecommendation, serve_cut: str) -> dict[str, str]:
    lake, scope = pipeline.lake, pipeline.dataset_scope
    days = pipeline.interaction_dts(serve_cut)
    return {f"{scope}/{c.EVENTS}/{dt}": lake.manifest(scope, c.EVENTS, dt).data_version for dt in days}


def _keep(
    pipeline: SourceRecommendation, challenger: Manifest, present: Manifest | None, decision: Decision,
    inputs: dict[str, str],
) -> Manifest:  # fmt: skip
    if present is None:
        raise GateRefused(
            f"{pipeline.name}: the first model was refused: {'; '.join(decision.reasons)}",
            why="there is no older champion to keep serving", remedy="look at the evaluation; change the model or the gate in the YAML",
        )  # fmt: skip
    record = PromotionRecord.from_json((pipeline.lake.folder(present) / RECORD_FILE).read_bytes())
    return _commit(pipeline, challenger, present, record, decision, inputs)


def _commit(
    pipeline: SourceRecommendation,
    challenger: Manifest,
    bundle: Manifest,
    record: PromotionRecord,
    decision: Decision,
    inputs: dict[str, str],
) -> Manifest:
    """Copy a bundle, the challenger's or the present champion's own, beside its signed record.

    What the decision was about, the challenger's day and recipe, is kept in either case: a refused one has been tried.
    """
    decided = {"dt": challenger.details["serve_cut"], "recipe": challenger.details.get("recipe")}
    with pipeline.lake.staged(pipeline.name, c.CHAMPION, WHOLE) as folder:
        shutil.copytree(pipeline.lake.folder(bundle), folder, dirs_exist_ok=True)
        (folder / RECORD_FILE).write_text(record.to_json())
        return pipeline.lake.commit(
            folder, rows=1, data_version=bundle.data_version, inputs=inputs,
            details={
                "model_version": record.model_version, "promoted": decision.promote, "reasons": list(decision.reasons),
                "promoted_at": record.promoted_at, "bins": bundle.details["bins"], "serve_cut": bundle.details["serve_cut"],
                "mlflow_run_id": bundle.details["mlflow_run_id"], DECIDED: decided,
            },
        )  # fmt: skip


def _model_sha(folder: Path) -> str:
    return sha256_of_file(model_file(folder))
