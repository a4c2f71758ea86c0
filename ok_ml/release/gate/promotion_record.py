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
from ok_ml.release.gate.lineage import NO_GIT, Lineage
from ok_ml.signing import sign, verify_signature
from ok_ml.stages.training import SimpleModel

PURPOSE: Final = "promotion"
REFUSED: Final = "refused: "  # beginning of a reason against a model


@dataclass(frozen=True)
class Decision:
    """Whether the gate lets a model through, and every reason for or against it."""

    promote: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class PromotionRecord:
    """What was promoted, on what grounds and from what. Immutable; `signature` covers everything else.

    `bundle_sha256` is over every file that scoring loads, vectors and popularity too, not the ranker alone.
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
    promoted_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    signature: str = ""

    def payload(self) -> dict[str, Any]:
        """What is signed: all fields but the signature."""
        fields = {**asdict(self), "lineage": self.lineage.as_dict()}
        del fields["signature"]
        return fields

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
            return cls(**{**raw, **nested})
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
) -> Decision:
    """Whether a challenger may become the champion.

    Parameters
    ----------
    gate
        Metric, floor over a baseline, and whether the champion must be matched.
    challenger, champion, baseline
        Metric -> value, all evaluated on the same days and users; no champion before the first promotion.
    floor
        The baseline's name.
    simple
        The best of what needs no learning: the model has to earn its place against it.
    difference
        Challenger minus champion in `gate.metric` with its interval. With it, "not worse" means not worse beyond chance:
        a retrained model of equal quality loses half of all bare comparisons, and production would become stale. Small
        losses could add up over promotions; the floor over the baseline bounds them.

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
        verdicts.append(_against_champion(metric, value, champion, difference))
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
    metric: str, value: float, champion: Mapping[str, float] | None, difference: Interval | None
) -> tuple[bool, str]:
    if champion is None:
        return True, "passed: there is no champion yet"
    incumbent = champion.get(metric, math.nan)
    if not math.isfinite(incumbent):
        return False, f"refused: the champion has no {metric} on these days; evaluate it again"
    facts = f"{metric} {value:.4f}, champion {incumbent:.4f} on the same days"
    if value >= incumbent:
        return True, f"passed: {facts}"
    if difference is not None and difference.high >= 0 >= difference.low:
        interval = f"difference {difference.estimate:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        return True, f"passed: {facts}; {interval} is within chance"
    return False, f"refused: {facts}"
