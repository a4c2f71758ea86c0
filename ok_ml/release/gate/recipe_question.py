"""What the gate asks about the recipe of the newest model: whether it is the champion's, and how it compares with the anchor's."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from ok_ml import columns as c
from ok_ml.errors import ConfigError, DataError, IntegrityError, ModelError, UsageError
from ok_ml.lake import Manifest
from ok_ml.release.gate.anchor import ANCHOR_NAME, Anchor, AnchorJudged, next_anchor
from ok_ml.release.gate.promotion_record import PURPOSE, RECORD_FILE, PromotionRecord
from ok_ml.release.training_recipe import CODE, is_same, own_code, recipe_of, settings_of
from ok_ml.release.trials.attempts import Say, open_attempt, train_attempt
from ok_ml.signing import load_key, verify_signature
from ok_ml.stages.evaluation import Evaluated
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.training import UNLEARNT

CANNOT_TRAIN: Final = (ConfigError, DataError, ModelError, UsageError)  # reasons why an anchor cannot be trained again
QUESTIONS: Final = "recipe_questions"  # in a champion's details: see `RecipeQuestion.counted`


@dataclass(frozen=True)
class RecipeQuestion:
    """What is asked about a challenger's recipe.

    Attributes
    ----------
    own
        The recipe, as an anchor would have it.
    fresher
        Whether it is the champion's; None where that is not known: there is no champion, it is a simple list, or it was promoted
        before recipes were recorded.
    anchor
        The present anchor; None before the first.
    asked
        Whether the anchor has to be compared with: the recipe is neither the champion's nor the anchor's.
    number
        Questions about another recipe since the anchor was set, this one among them if it is one.
    tampered
        What is wrong with the champion's record, which says recipe and anchor; empty if nothing is.
    """

    own: Anchor
    fresher: bool | None = None
    anchor: Anchor | None = None
    asked: bool = False
    number: int = 0
    tampered: str = ""

    @property
    def is_other(self) -> bool:
        """Whether the recipe is another one than the champion's or the anchor's."""
        return self.asked or self.fresher is False

    def judged(self, pipeline: Pipeline, evaluated: Evaluated) -> AnchorJudged | None:
        """How the anchor compares in an evaluation; None where that is not asked."""
        if self.anchor is None or not self.asked:
            return None
        difference = evaluated.difference(pipeline.gate_by(evaluated.metrics).metric, pipeline.challenger, ANCHOR_NAME)
        return AnchorJudged(self.anchor, evaluated.metrics(ANCHOR_NAME), difference, evaluated.without_anchor)

    def next_anchor(self, pipeline: Pipeline, evaluated: Evaluated) -> Anchor:
        """The anchor once the challenger is promoted."""
        return next_anchor(self.own, self.anchor, self.judged(pipeline, evaluated), self.number)

    def counted(self, anchor: Anchor | None) -> dict[str, Any]:
        """For the champion's details, once it is decided what the anchor is: how many questions were asked, and the last model."""
        return {"number": self.number if anchor == self.anchor else 0, "model_version": self.own.model_version}


def recipe_question(pipeline: Pipeline, challenger: Manifest) -> RecipeQuestion:
    """The question about a challenger, by the signed record of the present champion."""
    own = _recipe_of_model(pipeline, challenger)
    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    if champion is None:
        return RecipeQuestion(own)
    try:
        record = _signed_record(pipeline, champion)
    except IntegrityError as error:
        return RecipeQuestion(own, tampered=error.problem)
    fresher, anchor = is_same(record.recipe, own.recipe) if record.recipe else None, record.anchor
    asked = anchor is not None and not fresher and not _is_anchor(pipeline, anchor, own)
    question = RecipeQuestion(own, fresher, anchor, asked and pipeline.config.gate.not_worse_than_champion)
    before = champion.details.get(QUESTIONS, {"number": 0, "model_version": ""})
    is_new = question.is_other and before["model_version"] != own.model_version
    return replace(question, number=before["number"] + is_new)


def ask_anchor(
    pipeline: Pipeline, evaluator: Evaluator[Any], anchor: Anchor, session: Callable[[], Any], *, say: Say
) -> Any:
    """The answers of the anchor, trained on the days that the challenger was trained on; its tables are removed again.

    Raises
    ------
    ConfigError, DataError, ModelError, UsageError
        It cannot be trained any more.
    """
    attempt = _open(pipeline, anchor)
    folder = attempt.lake.root / attempt.name
    tried_before = folder.is_dir()  # by `ok-ml try`, whose tables stay
    try:
        bill = train_attempt(attempt, session, say=say)
        say(f"trained {anchor}; recomputed: {', '.join(bill.recomputed) or 'nothing'}")
        unlearnt = attempt.lake.manifest(attempt.name, c.MODEL).details.get(UNLEARNT)
        answers = evaluator.newest_of(attempt.evaluator()) if unlearnt is None else None
    finally:
        if not tried_before:
            shutil.rmtree(folder, ignore_errors=True)
    if answers is None:
        raise DataError(unlearnt or "its model does not know what these cases ask for")
    return answers


def _recipe_of_model(pipeline: Pipeline, model: Manifest) -> Anchor:
    """What a model was made by; of a type that does not record it, what would make it now."""
    said, version = model.details, str(model.details.get("model_version", ""))
    recipe, settings = said.get("recipe"), said.get("settings")
    return Anchor(recipe or recipe_of(pipeline), settings or settings_of(pipeline.config), version)


def _signed_record(pipeline: Pipeline, champion: Manifest) -> PromotionRecord:
    """A champion's record.

    Raises
    ------
    IntegrityError
        It was changed after it was signed.
    """
    record = PromotionRecord.from_json((pipeline.lake.folder(champion) / RECORD_FILE).read_bytes())
    key = load_key(pipeline.project.state_dir, pipeline.project.environment.signing_key_env)
    verify_signature(record.payload(), record.signature, key, purpose=PURPOSE)
    return record


def _is_anchor(pipeline: Pipeline, anchor: Anchor, own: Anchor) -> bool:
    """Whether a recipe is the anchor's, as far as it can be trained again: by the shipped code of today."""
    try:
        same = settings_of(_open(pipeline, anchor).config) == own.settings
    except CANNOT_TRAIN:
        return False
    return same


def _open(pipeline: Pipeline, anchor: Anchor) -> Pipeline:
    """The experiment with the anchor's settings, in all else as it is today.

    Raises
    ------
    ConfigError
        The settings are not valid any more, or the project's own code that they name has changed or is gone.
    UsageError
        They ask another question than the experiment does today: of another dataset.
    """
    today = pipeline.config.model_dump(mode="json")
    stages = {**anchor.settings["stages"], c.EVALUATION: today["stages"][c.EVALUATION]}
    settings = {**today, **anchor.settings, "stages": stages}
    try:
        config = pipeline.type.config.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    attempt = open_attempt(pipeline, config, pipeline.upto)
    moved = [key for key, sha256 in own_code(attempt).items() if anchor.recipe.get(key) != sha256]
    if moved:
        raise ConfigError(f"{', '.join(key.removeprefix(f'{CODE}.') for key in moved)} has changed since")
    return attempt
