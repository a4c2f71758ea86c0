"""The gate, in the pipeline: decide, sign, move the alias, and keep the champion's bundle where serving reads it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.extensions import source_of
from ok_ml.config.models import Project
from ok_ml.errors import GateRefused, IntegrityError
from ok_ml.lake import WHOLE, Manifest, fingerprint, tree_fingerprint, tree_sha256
from ok_ml.release.gate.lineage import collect_lineage, hash_of, require_provenance
from ok_ml.release.gate.promotion_record import RECORD_FILE, REFUSED, Decision, PromotionRecord, decide, verify
from ok_ml.release.gate.promotion_record import promote as sign_promotion
from ok_ml.release.gate.recipe_question import QUESTIONS, RecipeQuestion, recipe_question
from ok_ml.release.gate.refused_models import let_through
from ok_ml.signing import load_key, sha256_of_file
from ok_ml.stages.evaluation import CHAMPION_NAME, Evaluated, load_evaluation
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import Grain
from ok_ml.stages.training import SIMPLE_LIST, UNLEARNT, Register, SimpleModel

LOCAL: Final = "local"  # the environment of a developer's machine
ALIAS: Final = "champion"
_OF_BUNDLE: Final = ("model_version", "bins", "serve_cut", "mlflow_run_id", SIMPLE_LIST)
DECIDED: Final = "decided"  # in the champion's details: the newest day and the recipe of the model that was judged last


@dataclass(frozen=True)
class _Contender:
    """What is in the champion's staged folder, beside its record.

    Attributes
    ----------
    details
        What a champion's manifest says of its bundle: _OF_BUNDLE.
    """

    folder: Path
    data_version: str
    details: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    decision: Decision


def promote(pipeline: Pipeline, registry: Any, register: Register, *, dagster_run_id: str) -> Manifest:
    """Compare the newest model with the present champion and commit who is champion from now on.

    A model has to be at least as good as the best simple list on the same users. Where it is not, or the gate refuses it for
    another reason, that list takes its place, unless the present champion is better or `gate.fallback` forbids it.

    Parameters
    ----------
    registry
        An MlflowClient of the model registry; its alias moves before the lake's champion is committed, so that the
        lake never names a version that the registry does not call champion.
    register
        Makes a simple list a version of the registry.

    Returns
    -------
    The manifest of the champion: a new bundle, or the old one with the reasons why it stayed.

    Raises
    ------
    GateRefused
        The newest evaluation judged another model than the newest one; or the first model was refused, and no simple
        list may be served in its place; or the champion's record was changed after it was signed.
    """
    challenger = pipeline.lake.manifest(pipeline.name, c.MODEL)
    evaluated, inputs = _evaluation_of(pipeline, challenger), pipeline.inputs_of(c.CHAMPION)
    present = pipeline.lake.find(pipeline.name, c.CHAMPION)
    simple, question = pipeline.simple_model(evaluated.metrics), recipe_question(pipeline, challenger)
    by_rule = _decide(pipeline, challenger, evaluated, simple, question)
    decision, judged = let_through(pipeline, challenger, present, by_rule)
    if question.tampered and not decision.promote:
        raise GateRefused(
            f"{pipeline.name}: {question.tampered}",
            why="a changed record could name a recipe that every challenger is better than",
            remedy=f"restore the champion's files; or {judged.command}, then ok-ml run {pipeline.name}, promotes the newest"
            " model all the same, with your name in its signed record",
        )
    chosen = None if decision.promote else _list_instead(pipeline, present, evaluated, simple)
    with pipeline.lake.staged(pipeline.name, c.CHAMPION, WHOLE) as folder:
        if not decision.promote and chosen is None:
            contender, record = _kept(pipeline, folder, present, decision, judged.command)
        else:
            shutil.copytree(pipeline.lake.folder(challenger), folder, dirs_exist_ok=True)
            contender = (
                _learned(folder, challenger, evaluated.metrics(pipeline.challenger), decision)
                if chosen is None
                else _simple(pipeline, folder, challenger, decision, chosen, register)
            )
            record = _signed(pipeline, challenger, present, evaluated, question, contender, dagster_run_id)
            (folder / RECORD_FILE).write_text(record.to_json())
        # Also where the champion stays: a promotion that was killed left the alias on a model that never became champion.
        registry.set_registered_model_alias(pipeline.name, ALIAS, record.model_version)
        return _commit(pipeline, challenger, question, contender, record, inputs)


def require_promotable(project: Project) -> str:
    """What a promotion will ask for, asked before the work that leads to it; see `require_provenance`."""
    return require_provenance(project.root, strict=project.environment.environment != LOCAL)


def champion_bundle(pipeline: Pipeline) -> tuple[Path, PromotionRecord]:
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
            f"{pipeline.name} has no champion",
            why="production serves only a model that passed the gate with its lineage recorded",
            remedy=f"materialise {pipeline.name}/{c.CHAMPION}, e.g. by `ok-ml run {pipeline.name}`",
        )
    folder = pipeline.lake.folder(manifest)
    record = PromotionRecord.from_json((folder / RECORD_FILE).read_bytes())
    key = load_key(pipeline.project.state_dir, pipeline.project.environment.signing_key_env)
    verify(record, key, sha256_of_file(pipeline.model_file(folder)), experiment=pipeline.name)
    actual = tree_sha256(folder, without=(RECORD_FILE,))
    if actual != record.bundle_sha256:
        raise IntegrityError(
            f"{pipeline.name}: the champion's files have SHA-256 {actual[:16]}..., its promotion record says"
            f" {record.bundle_sha256[:16] or 'nothing'}...",
            why="a changed model or recipe would be served to all users without an error",
            remedy=f"materialise {pipeline.name}/{c.MODEL} and what follows, which writes the bundle again",
        )
    return folder, record


def _evaluation_of(pipeline: Pipeline, challenger: Manifest) -> Evaluated:
    judged = pipeline.lake.manifest(pipeline.name, c.EVALUATION)
    if judged.inputs.get(f"{pipeline.name}/{c.MODEL}") != fingerprint({WHOLE: challenger.data_version}):
        raise GateRefused(
            f"{pipeline.name}: the newest evaluation is of another model than version {challenger.details['model_version']}",
            why="a model would be promoted on the metrics of another one",
            remedy=f"materialise {pipeline.name}/{c.EVALUATION} first",
        )
    return load_evaluation(pipeline, judged)


def _decide(
    pipeline: Pipeline,
    challenger: Manifest,
    evaluated: Evaluated,
    simple: SimpleModel | None,
    question: RecipeQuestion,
) -> Decision:
    if UNLEARNT in challenger.details:
        return Decision(False, (f"refused: nothing was learnt: {challenger.details[UNLEARNT]}",))
    gate = pipeline.gate_by(evaluated.metrics)
    decision = decide(
        gate,
        evaluated.metrics(pipeline.challenger),
        evaluated.metrics(CHAMPION_NAME) or None,
        evaluated.metrics(pipeline.floor),
        floor=pipeline.floor,
        simple=simple,
        difference=evaluated.difference(gate.metric, pipeline.challenger, CHAMPION_NAME),
        fresher=question.fresher,
        anchor=question.judged(pipeline, evaluated),
        question=question.number,
    )
    if not question.tampered:
        return decision
    return Decision(False, (*decision.reasons, f"{REFUSED}recipe and anchor of the champion: {question.tampered}"))


def _list_instead(
    pipeline: Pipeline, present: Manifest | None, evaluated: Evaluated, simple: SimpleModel | None
) -> SimpleModel | None:
    """The best simple list in place of a refused model; None where none may be served, or the champion is not worse."""
    if simple is None or not pipeline.serves_simple:
        return None
    metric = pipeline.gate_by(evaluated.metrics).metric
    value, served = simple.metrics.get(metric), evaluated.metrics(CHAMPION_NAME).get(metric)
    if present is None or (value is not None and served is not None and value > served):
        return simple
    return None


def _kept(
    pipeline: Pipeline, folder: Path, present: Manifest | None, decision: Decision, accept: str
) -> tuple[_Contender, PromotionRecord]:
    """The present champion's own bundle and record unchanged, with the reasons why it stays."""
    if present is None:
        raise GateRefused(
            f"{pipeline.name}: the first model was refused: {'; '.join(decision.reasons)}",
            why="there is no older champion to keep serving, and gate.fallback is none",
            remedy=f"{accept}, then ok-ml run {pipeline.name}, promotes it all the same, with your name in its signed record; "
            "or look at the evaluation; change the model or the gate in the YAML, or let the best simple list be served"
            " by `gate: {fallback: simple}`",
        )
    shutil.copytree(pipeline.lake.folder(present), folder, dirs_exist_ok=True)
    record = PromotionRecord.from_json((folder / RECORD_FILE).read_bytes())
    return _Contender(folder, present.data_version, _of_bundle(present), record.metrics, decision), record


def _learned(folder: Path, challenger: Manifest, metrics: Mapping[str, float], decision: Decision) -> _Contender:
    return _Contender(folder, challenger.data_version, _of_bundle(challenger), metrics, decision)


def _simple(
    pipeline: Pipeline,
    folder: Path,
    challenger: Manifest,
    refused: Decision,
    chosen: SimpleModel,
    register: Register,
) -> _Contender:
    """A simple list in place of the refused model, in a bundle that is otherwise the model's."""
    version = challenger.details["model_version"]
    registered = register(pipeline.put_simple(folder, chosen))
    details = {
        **_of_bundle(challenger),
        "model_version": registered.version,
        "mlflow_run_id": registered.mlflow_run_id,
        SIMPLE_LIST: chosen.name,
    }
    broken = [reason for reason in refused.reasons if reason.startswith("refused")]
    reasons = (f"passed: the simple list {chosen.name}: {chosen.reason}", *(f"model {version} {one}" for one in broken))
    return _Contender(folder, tree_fingerprint(folder), details, chosen.metrics, Decision(True, reasons))


def _of_bundle(manifest: Manifest) -> dict[str, Any]:
    return {name: manifest.details[name] for name in _OF_BUNDLE if name in manifest.details}


def _signed(
    pipeline: Pipeline,
    challenger: Manifest,
    present: Manifest | None,
    evaluated: Evaluated,
    question: RecipeQuestion,
    contender: _Contender,
    dagster_run_id: str,
) -> PromotionRecord:
    hashes, files = _extensions(pipeline, challenger)
    lineage = collect_lineage(
        pipeline.project.root,
        config_hash=hash_of(
            {
                "experiment": pipeline.config.model_dump(mode="json"),
                "dataset": pipeline.dataset.model_dump(mode="json"),
            }
        ),
        dataset_versions=_dataset_versions(pipeline, str(challenger.details["serve_cut"])),
        dagster_run_id=str(challenger.details.get("dagster_run_id") or dagster_run_id),
        seed=pipeline.config.seed,
        threads=pipeline.config.threads,
        extensions=hashes,
        files=files,
        without_git=pipeline.project.environment.environment == LOCAL,
    )
    learned = SIMPLE_LIST not in contender.details
    record = PromotionRecord(
        experiment=pipeline.name,
        model_version=str(contender.details["model_version"]),
        model_sha256=sha256_of_file(pipeline.model_file(contender.folder)),
        bundle_sha256=tree_sha256(contender.folder, without=(RECORD_FILE,)),
        metrics=contender.metrics,
        champion_metrics=evaluated.metrics(CHAMPION_NAME) or None,
        popularity_metrics=evaluated.metrics(pipeline.floor),
        decision=contender.decision,
        lineage=lineage,
        previous_version=str(present.details.get("model_version", "")) if present else "",
        recipe=question.own.recipe if learned else {},
        anchor=question.next_anchor(pipeline, evaluated) if learned else question.anchor,
    )
    environment = pipeline.project.environment
    key = load_key(pipeline.project.state_dir, environment.signing_key_env)
    # A checkout under development has uncommitted files; everywhere else a commit must say what code ran.
    return sign_promotion(record, key, require_clean_tree=environment.environment != LOCAL)


def _extensions(pipeline: Pipeline, challenger: Manifest) -> tuple[dict[str, str], list[Path]]:
    """Hashes and files of the project's own code that made the challenger.

    Raises
    ------
    GateRefused
        A file lies outside the project, where git does not keep it, or has changed since the model was made.
    """
    root, made_with = pipeline.project.root.resolve(), _hashes_at_training(pipeline, challenger)
    hashes: dict[str, str] = {}
    files: list[Path] = []
    for kind, named, _ in pipeline.config.code():
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
                f"{pipeline.name}: {kind.key} {named}: {told}",
                why="the commit would not say what code made the model",
                remedy="put the file into the project and commit it"
                if outside
                else f"materialise {pipeline.name}/{c.MODEL} and what is before it",
            )
        hashes[named] = source.sha256
        files += paths
    return hashes, files


def _hashes_at_training(pipeline: Pipeline, challenger: Manifest) -> dict[str, set[str]]:
    """Whatever the records of the challenger and of what it was made from say under each name."""
    lake, name, cut = pipeline.lake, pipeline.name, pipeline.calendar().eval_cut
    before = [stage for stage in pipeline.type.made_for(c.MODEL) if stage.name != c.MODEL]
    manifests = [challenger, *(lake.find(name, one.name, WHOLE if one.grain is Grain.WHOLE else cut) for one in before)]
    said: dict[str, set[str]] = {}
    for manifest in manifests:
        for key, value in manifest.inputs.items() if manifest is not None else ():
            said.setdefault(key, set()).add(value)
    return said


def _dataset_versions(pipeline: Pipeline, serve_cut: str) -> dict[str, str]:
    lake, scope = pipeline.lake, pipeline.dataset_scope
    days, log = pipeline.learnt_dts(serve_cut), pipeline.dataset.kind
    return {f"{scope}/{log}/{dt}": lake.manifest(scope, log, dt).data_version for dt in days}


def _commit(
    pipeline: Pipeline,
    challenger: Manifest,
    question: RecipeQuestion,
    contender: _Contender,
    record: PromotionRecord,
    inputs: dict[str, str],
) -> Manifest:
    """What the decision was about, the challenger's day and recipe, is recorded in any case: a refused one has been tried."""
    decided = {"dt": challenger.details["serve_cut"], "recipe": challenger.details.get("recipe")}
    return pipeline.lake.commit(
        contender.folder,
        rows=1,
        data_version=contender.data_version,
        inputs=inputs,
        details={
            **contender.details,
            "model_version": record.model_version,
            "promoted": contender.decision.promote,
            "reasons": list(contender.decision.reasons),
            "promoted_at": record.promoted_at,
            DECIDED: decided,
            QUESTIONS: question.counted(record.anchor),
        },
    )
