"""The anchor: the best recipe that an experiment has promoted, with which every other recipe is compared before it is promoted.

A gate that compares with the present champion alone lets quality erode: a challenger that is a little worse, within chance, is
promoted and becomes the next reference. At 0.5 % a week 0.80 of the quality is left after a year, and no decision was wrong.
The anchor does not follow the champion. It is the settings and the code of a training, not a model: it is trained again at the
cut of each evaluation that needs it, so that its age plays no part.

It is no window of the last N decisions. After N decisions within the margin every recipe in such a window is itself eroded: the
best of them is the reference for the next N, and the loss goes on at one margin per N decisions. A window only makes erosion
slower, and N is the factor. So the anchor stays for good, until one of two things happens:

- A promoted recipe is better beyond chance: the lower end of its paired interval against the anchor is above 0.
- The anchor cannot be trained any more, because its settings are no longer valid or its code has changed or is gone. A reference
  that is never asked again would protect nothing, so the recipe that is promoted then is the next one. It was held against the
  champion: at most one margin is lost.

A recipe that is refused is asked about again with the next evaluation, and chance would let it through one day: each question at
the level of one interval is passed by one in forty recipes that are just worse than the margin. So the questions since the anchor
was set are counted, and later ones are judged by wider intervals: see `widened`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final

from ok_ml.quality.ranking.bootstrap import LEVEL, Interval

ANCHOR_NAME: Final = "anchor"  # in an evaluation, beside the champion


@dataclass(frozen=True)
class Anchor:
    """A recipe that can be trained again.

    Attributes
    ----------
    recipe
        Dotted key -> value as JSON: see `ok_ml.release.training_recipe.recipe_of`.
    settings
        What of the experiment's YAML decides a training, defaults included: see `ok_ml.release.training_recipe.settings_of`.
    model_version
        Of the model that was promoted with it first.
    """

    recipe: Mapping[str, str]
    settings: Mapping[str, Any]
    model_version: str

    def __str__(self) -> str:
        return f"the anchor (the recipe of model {self.model_version})"


@dataclass(frozen=True)
class AnchorJudged:
    """The anchor on the cases of an evaluation.

    Attributes
    ----------
    metrics
        Metric -> value of it, trained again at the same cut; empty where that is `missing`.
    difference
        Challenger minus anchor in the gate's metric; None without an interval.
    missing
        Why it could not be trained again; empty if it was.
    """

    anchor: Anchor
    metrics: Mapping[str, float]
    difference: Interval | None = None
    missing: str = ""


def widened(difference: Interval, question: int) -> Interval:
    """The interval by which a question is judged: that of the evaluation at the first, a wider one at each later question.

    The lower end of question k is missed with a probability of at most 2 (1 - LEVEL) / 2 x 6 / (pi k)^2, by the normal
    approximation. The sum over any number of questions is below 1 - LEVEL, by the union bound and sum 1 / k^2 = pi^2 / 6.

    Parameters
    ----------
    question
        Its number since the anchor was set, from 1.
    """
    if question <= 1:
        return difference
    at = NormalDist().inv_cdf
    factor = at(1 - (1 - LEVEL) * 6 / (math.pi * question) ** 2) / at((1 + LEVEL) / 2)
    low, high = (
        difference.estimate + factor * (end - difference.estimate) for end in (difference.low, difference.high)
    )
    return replace(difference, low=low, high=high)


def next_anchor(promoted: Anchor, present: Anchor | None, judged: AnchorJudged | None, question: int) -> Anchor:
    """The anchor after a learned model was promoted.

    Parameters
    ----------
    promoted
        The recipe of that model.
    present
        The anchor before; None at the first promotion.
    judged
        How it compares with the promoted model; None where it was not asked, since the recipe was no other one.
    question
        See `widened`.
    """
    if present is None:
        return promoted
    if judged is None:
        return present
    better = judged.difference is not None and widened(judged.difference, question).low > 0
    return promoted if judged.missing or better else present
