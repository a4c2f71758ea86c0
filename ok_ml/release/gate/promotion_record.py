"""The gate between a trained model and production, and the signed record that production reads.

The champion alias of the registry and its tags are writable by whoever reaches the registry. The record is not: it says
which bytes were promoted, why and from what, under a signature. Publication verifies it before every use.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from ok_ml.config.models import GateConfig
from ok_ml.errors import GateRefused, IntegrityError
from ok_ml.quality.ranking.bootstrap import Interval
from ok_ml.release.gate.anchor import Anchor, AnchorJudged, widened
from ok_ml.release.gate.lineage import NO_GIT, Lineage
from ok_ml.signing import sign, verify_signature
from ok_ml.stages.training import SimpleModel

PURPOSE: Final = "promotion"
RECORD_FILE: Final = "promotion.json"
REFUSED: Final = "refused: "  # beginning of a reason against a model


@dataclass(frozen=True)
class Decision:
    """Whether the gate lets a model through, and every reason for or against it."""

    promote: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class PromotionRecord:
    """What was promoted, on what grounds and from what. Immutable; `signature` covers everything else.

    `bundle_sha256` is over every file that scoring loads, vectors and popularity too, not the ranker alone. `recipe` made the
    model: a simple list has none. `anchor` is what other recipes are compared with from here on. Records made before there were
    these two have neither.
    """

    experiment: str
    model_version: str
    model_sha256: str
    metrics: Mapping[str, float | None]
    champion_metrics: Mapping[str, float | None] | None
    popularity_metrics: Mapping[str, float | None]
    decision: Decision
    lineage: Lineage
    bundle_sha256: str = ""
    previous_version: str = ""
    notes: tuple[str, ...] = ()
    recipe: Mapping[str, str] = field(default_factory=dict)
    anchor: Anchor | None = None
    promoted_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    signature: str = ""

    def payload(self) -> dict[str, Any]:
        """What is signed: all fields but the signature, and those that came later and are empty."""
        fields = {**asdict(self), "lineage": self.lineage.as_dict()}
        unsaid = {name for name in ("recipe", "anchor") if not fields[name]}
        return {name: value for name, value in fields.items() if name not in {"signature", *unsaid}}

    def to_json(self) -> str:
        """The record as indented JSON, for a file, a tag or the page of a run."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "PromotionRecord":
        """Read what `to_json` wrote. It still has to be verified.

        Raises
        ------
        IntegrityError
            It is not a promotion record.
        """
        try:
            raw = json.loads(text)
            decision = Decision(raw["decision"]["promote"], tuple(raw["decision"]["reasons"]))
            nested = {"decision": decision, "lineage": Lineage(**raw["lineage"]), "notes": tuple(raw["notes"])}
            anchor = Anchor(**raw["anchor"]) if raw.get("anchor") else None
            return cls(**{**raw, **nested, "anchor": anchor})
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"this is not a promotion record: {type(error).__name__}: {error}",
                why="production serves only what a record vouches for",
                remedy="promote the model again",
            ) from error


def decide(
    gate: GateConfig,
    challenger: Mapping[str, float],
    champion: Mapping[str, float] | None,
    baseline: Mapping[str, float],
    *,
    floor: str = "popularity",
    simple: SimpleModel | None = None,
    difference: Interval | None = None,
    fresher: bool | None = None,
    anchor: AnchorJudged | None = None,
    question: int = 1,
) -> Decision:
    """Whether a challenger may become the champion.

    Two questions are asked apart. "Only fresher?": a challenger by the champion's own recipe passes unless it is worse beyond
    chance; a model of equal quality loses half of all bare comparisons, and production would become stale. "A worse recipe?":
    a challenger by another one has to be shown not to be inferior, to the champion and to the anchor: the lower end of the
    paired interval is at least -`gate.margin` times the metric of either (non-inferiority, ICH E9 1998, 3.3.2). So small losses
    of recipes do not add up: see `ok_ml.release.gate.anchor`.

    Parameters
    ----------
    gate
        Metric, floor over a baseline, whether the champion must be matched, and the margin.
    challenger, champion, baseline
        Metric -> value, all evaluated on the same days and users; no champion before the first promotion.
    floor
        The baseline's name.
    simple
        The best of what needs no learning: the model has to earn its place against it.
    difference
        Challenger minus champion in `gate.metric` with its interval; without it, the values alone are compared.
    fresher
        Whether the challenger has the champion's recipe; None where either is not known, which is judged as the same.
    anchor
        The anchor on the same cases, where the challenger's recipe is neither the champion's nor the anchor's.
    question
        How many questions about another recipe were asked since the anchor was set, this one included: see `widened`.

    Returns
    -------
    Decision
        All rules are judged, so `reasons` names every one that was passed or broken.
    """
    metric = gate.metric
    value = challenger.get(metric, math.nan)
    if not math.isfinite(value):
        return Decision(
            False, (f"refused: the challenger has no {metric} (it has {', '.join(sorted(challenger)) or 'nothing'})",)
        )
    verdicts = [_over_floor(gate, value, baseline.get(metric, math.nan), floor)]
    if simple is not None and metric in simple.metrics:
        verdicts.append(_against_simple(metric, value, simple))
    if gate.not_worse_than_champion:
        verdicts.append(_against_champion(gate, value, champion, difference, fresher, question))
        if anchor is not None:
            verdicts.append(_against_anchor(gate, value, anchor, question))
    return Decision(all(passed for passed, _ in verdicts), tuple(reason for _, reason in verdicts))


def promote(record: PromotionRecord, key: bytes, *, require_clean_tree: bool) -> PromotionRecord:
    """The record, signed, if its decision and its lineage allow it.

    Parameters
    ----------
    require_clean_tree
        Refuse a model trained from a tree with uncommitted changes. Development runs have such trees: where they are
        allowed, the record says so in `notes`.

    Raises
    ------
    GateRefused
        The decision was no, lineage is incomplete, or the tree was dirty where it must be clean.
    """
    _require_allowed(record, require_clean_tree=require_clean_tree)
    if record.lineage.git_dirty:
        note = "trained from a tree with uncommitted changes: the commit alone does not make this model again"
        record = replace(record, notes=(*record.notes, note))
    if record.lineage.git_commit == NO_GIT:
        note = f"git: none; the code and the configuration that made this model have SHA-256 {record.lineage.code_hash}"
        record = replace(record, notes=(*record.notes, note))
    return replace(record, signature=sign(record.payload(), key, purpose=PURPOSE))


def verify(
    record: PromotionRecord,
    key: bytes,
    model_sha256: str,
    *,
    experiment: str | None = None,
    require_clean_tree: bool = False,
) -> None:
    """Refuse a model that the record does not vouch for.

    Raises
    ------
    IntegrityError
        The record was changed or signed by another key, or the model's bytes are not the promoted ones.
    GateRefused
        The record is of another experiment, or does not allow the promotion.
    """
    verify_signature(record.payload(), record.signature, key, purpose=PURPOSE)
    if record.model_sha256 != model_sha256:
        raise IntegrityError(
            f"model {record.model_version} of {record.experiment} has SHA-256 {model_sha256[:16]}...,"
            f" its promotion record says {record.model_sha256[:16]}...",
            why="a changed LightGBM file can crash, hang or predict something else without a word",
            remedy="restore the model's files from the registry, or promote another version",
        )
    if experiment is not None and record.experiment != experiment:
        raise GateRefused(
            f"the promotion record is of experiment {record.experiment}, expected {experiment}",
            why="a model would serve users that it was not judged on",
            remedy=f"promote a model of {experiment}",
        )
    _require_allowed(record, require_clean_tree=require_clean_tree)


def _require_allowed(record: PromotionRecord, *, require_clean_tree: bool) -> None:
    what = f"model {record.model_version or '(no version)'} of {record.experiment}"
    if not record.decision.promote:
        raise GateRefused(
            f"{what} was refused by the gate: {'; '.join(record.decision.reasons)}",
            why="users would get worse recommendations than today",
            remedy="look at the evaluation of the run; change the model",
        )
    missing = record.lineage.missing() + [
        name for name in ("model_version", "model_sha256") if not getattr(record, name)
    ]
    if missing:
        raise GateRefused(
            f"{what} has no complete lineage: {', '.join(missing)} not recorded",
            why="this model could not be made again, and what it was made from is unknown",
            remedy="train it by a run of the pipeline, in a git tree with its lock file",
        )
    if require_clean_tree and record.lineage.git_dirty is not False:
        raise GateRefused(
            f"{what} was trained from commit {record.lineage.git_commit[:12]} with uncommitted changes",
            why="the commit does not say what code made it",
            remedy="commit, and train again",
        )


def over_floor(gate: GateConfig, value: float, baseline: float) -> bool:
    """Whether a model is so much better than the floor baseline as the gate asks for, and good for anything at all."""
    return value >= gate.floor * baseline and value > 0


def _over_floor(gate: GateConfig, value: float, baseline: float, name: str) -> tuple[bool, str]:
    if not math.isfinite(baseline):
        return False, f"refused: {name} has no {gate.metric} to compare with"
    floor = gate.floor * baseline
    facts = f"{gate.metric} {value:.4f}, floor {floor:.4f} ({gate.floor:g} x {name}'s {baseline:.4f})"
    passed = over_floor(gate, value, baseline)
    return passed, f"{'passed' if passed else 'refused'}: {facts}"


def _against_simple(metric: str, value: float, simple: SimpleModel) -> tuple[bool, str]:
    passed = value >= simple.metrics[metric]
    facts = f"{metric} {value:.4f}, the best simple list {simple.name} {simple.metrics[metric]:.4f}"
    return passed, f"{'passed' if passed else 'refused'}: {facts}"


def _against_champion(
    gate: GateConfig,
    value: float,
    champion: Mapping[str, float] | None,
    difference: Interval | None,
    fresher: bool | None,  # noqa: FBT001 - of three values
    question: int,
) -> tuple[bool, str]:
    if champion is None:
        return True, "passed: there is no champion yet"
    incumbent = champion.get(gate.metric, math.nan)
    if not math.isfinite(incumbent):
        return False, f"refused: the champion has no {gate.metric} on these days; evaluate it again"
    if fresher is False:
        return _not_inferior(gate, value, "champion", incumbent, difference, question)
    facts = f"{gate.metric} {value:.4f}, champion {incumbent:.4f} on the same days"
    fresh = "; the recipe is the same, the model only fresher" if fresher else ""
    if value >= incumbent:
        return True, f"passed: {facts}{fresh}"
    if difference is not None and difference.high >= 0 >= difference.low:
        return True, f"passed: {facts}; {_interval(difference)} is within chance{fresh}"
    return False, f"refused: {facts}{fresh}"


def _against_anchor(gate: GateConfig, value: float, judged: AnchorJudged, question: int) -> tuple[bool, str]:
    if judged.missing:
        told = f"passed: not compared with {judged.anchor}, which cannot be trained again: {judged.missing}"
        return True, f"{told}; a recipe that is promoted now is the next anchor"
    reference = judged.metrics.get(gate.metric, math.nan)
    if not math.isfinite(reference):
        return (
            False,
            f"refused: the evaluation has no {gate.metric} of {judged.anchor}; materialise the evaluation again",
        )
    return _not_inferior(gate, value, str(judged.anchor), reference, judged.difference, question)


def _not_inferior(
    gate: GateConfig, value: float, name: str, reference: float, difference: Interval | None, question: int
) -> tuple[bool, str]:
    """Whether another recipe is shown to be worse than a reference by no more than the margin."""
    facts = f"another recipe, {gate.metric} {value:.4f}, {name} {reference:.4f} on the same days"
    if difference is None:
        passed = value >= reference
        return passed, f"{'passed' if passed else 'refused'}: {facts}; {gate.metric} has no interval"
    judged, least = widened(difference, question), -gate.margin * reference
    passed = judged.low >= least
    asked = f"its lower end has to be at least {least:+.4f}, a margin of {gate.margin:.1%}"
    asked += f" (wider than 95 %, as this is question {question} since the anchor was set)" if question > 1 else ""
    asked += "" if passed else _too_wide(judged, least)
    return passed, f"{'passed' if passed else 'refused'}: {facts}; {_interval(judged)}, {asked}"


def _too_wide(difference: Interval, least: float) -> str:
    """How many cases would make an interval narrow enough whose estimate is within the margin: its width falls by their root."""
    spare = difference.estimate - least
    if spare <= 0:
        return ""
    needed = math.ceil(difference.users * ((difference.estimate - difference.low) / spare) ** 2)
    return f"; the interval is too wide: about {needed:,} cases would make it narrow enough, these are {difference.users:,}"


def _interval(difference: Interval) -> str:
    return f"difference {difference.estimate:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
