"""What a day's lists look like in numbers, part by part.

::

    users_served_share       users of the snapshot with a list that is not empty
    fallback_share           lists that are the one for users without history
    list_length_*            mean, least, most, over all lists
    score_*                  mean, standard deviation and quantiles of the scores of all own lists (no fallback)
    score_psi                PSI of their histogram against the pooled ones of the same model's generations before, on edges
                             frozen from the first of them, beyond what sampling explains (`drift`)
    coverage@10, coverage    sources that at least one user has in the first 10, in the list / sources of the catalogue
    top_share                share of all places in the first 10 that the most frequent 1 % of the catalogue holds
    gini                     Gini coefficient of the places that the sources of the catalogue hold (Gini 1912): 0 all alike
    overlap@10               mean Jaccard similarity of a user's first 10 with those of the generation before, of the same model
    new_model_overlap@10     the same where the generation before was another model's: two models may well differ
    reason_share             shares of the places by reason
    subscribed_pairs         places that hold a source which the user is subscribed to: must be 0
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.places import place_of
from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.quality.statistics.number_series import Name, Number
from ok_ml.quality.statistics.sketch import Sketch, merge, sketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH: Final = 10
USERS_SERVED: Final = "users_served_share"
SCORE_PSI: Final = "score_psi"
COVERAGE: Final = f"coverage@{DEPTH}"
TOP_SHARE: Final = "top_share"
OVERLAP: Final = f"overlap@{DEPTH}"
NEW_MODEL_OVERLAP: Final = f"new_model_{OVERLAP}"
LEAST_LENGTH: Final = "list_length_least"
MOST_LENGTH: Final = "list_length_most"
SUBSCRIBED_PAIRS: Final = "subscribed_pairs"
_TOP: Final = 0.01  # of the catalogue
_QUANTILES: Final = {"q01": 0.01, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q99": 0.99}


@dataclass(frozen=True)
class PartLists:
    """Lists of one part.

    Attributes
    ----------
    user_ids
        int64 [n], ascending.
    lists, scores, reasons
        [n, k], best first: int64 padded with -1, float32 padded with NaN, int8 padded with -1.
    fallback
        bool [n].
    """

    user_ids: "NDArray[np.int64]"
    lists: "NDArray[np.int64]"
    scores: "NDArray[np.float32]"
    reasons: "NDArray[np.int8]"
    fallback: "NDArray[np.bool_]"


@dataclass
class Totals:
    """Sums over the parts of a day's lists.

    Attributes
    ----------
    catalogue
        int64 [m], ascending: sources that could be recommended.
    edges
        float32 [b + 1] that scores are counted on; None: on none.
    first, all_places
        int64 [m]: how often each source is in a first 10, and in a list.
    lengths, reasons
        int64: lists of each length, places of each reason.
    """

    catalogue: "NDArray[np.int64]"
    edges: "NDArray[np.float32] | None" = None
    users: int = 0
    served: int = 0
    fallback: int = 0
    subscribed: int = 0
    common: int = 0
    jaccard: float = 0.0

    def __post_init__(self) -> None:
        self.first = np.zeros(len(self.catalogue), np.int64)
        self.all_places = np.zeros(len(self.catalogue), np.int64)
        self.scores: Sketch = sketch(np.zeros(0, np.float32), self.edges)
        self.lengths = np.zeros(0, np.int64)
        self.reasons = np.zeros(0, np.int64)

    def add(self, part: PartLists, before: PartLists | None, subscribed: int, reasons: int) -> None:
        """Take in one part.

        Parameters
        ----------
        before
            The same part of the generation before.
        subscribed
            Places that hold a source which the user is subscribed to.
        reasons
            How many reasons there are.
        """
        length = (part.lists != EMPTY).sum(axis=1)
        self.users += len(part.user_ids)
        self.served += int((length > 0).sum())
        self.fallback += int(part.fallback.sum())
        self.lengths = _grown(self.lengths, np.bincount(length))
        self.reasons = _grown(self.reasons, np.bincount(part.reasons[part.reasons >= 0], minlength=reasons))
        self.first += _places(self.catalogue, part.lists[:, :DEPTH])
        self.all_places += _places(self.catalogue, part.lists)
        own = part.scores[~part.fallback]
        self.scores = merge(self.scores, sketch(own[~np.isnan(own)].astype(np.float32), self.edges))
        self.subscribed += subscribed
        if before is not None:
            self._compare(part, before)

    def _compare(self, part: PartLists, before: PartLists) -> None:
        rows = place_of(before.user_ids, part.user_ids)
        known = rows >= 0
        values = jaccard(part.lists[known, :DEPTH], before.lists[rows[known], :DEPTH])
        self.common += len(values)
        self.jaccard += float(values.sum())


def jaccard(left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """|A and B| / |A or B| of the lists of each row, padded with -1; 1 where both are empty."""
    both = ((left[:, :, None] == right[:, None, :]) & (left[:, :, None] != EMPTY)).any(axis=2).sum(axis=1)
    either = (left != EMPTY).sum(axis=1) + (right != EMPTY).sum(axis=1) - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def gini(counts: "NDArray[np.int64]") -> float:
    """Gini coefficient of how often each source occurs: 0 all alike, near 1 one has everything; 0 without any."""
    ordered, n = np.sort(counts.astype(np.float64)), len(counts)
    if not n or not ordered.sum():
        return 0.0
    return float((2 * (np.arange(1, n + 1) * ordered).sum() / ordered.sum() - (n + 1)) / n)


def top_share(counts: "NDArray[np.int64]") -> float:
    """Share of all places that the most frequent 1 % of the sources (at least one) hold; 0 without any."""
    top = max(round(len(counts) * _TOP), 1)
    return float(np.sort(counts)[::-1][:top].sum() / max(counts.sum(), 1))


def prediction_numbers(
    totals: Totals, users: int, reason_names: Sequence[str], score_psi: float | None, *, same_model: bool = True
) -> list[Number]:
    """The numbers of a day's lists.

    Parameters
    ----------
    users
        Of the snapshot of that day.
    score_psi
        Against the generations before; None where there is none of the same model.
    same_model
        Whether the generation before was made by the model that made these.
    """
    n, sizes = totals.users, len(totals.catalogue)
    lengths = np.flatnonzero(totals.lengths)
    mean_length = float((np.arange(len(totals.lengths)) * totals.lengths).sum() / n) if n else None
    plain: dict[str, tuple[float | None, int]] = {
        USERS_SERVED: (totals.served / users if users else None, users),
        "fallback_share": (totals.fallback / n if n else None, n),
        "list_length_mean": (mean_length, n),
        LEAST_LENGTH: (float(lengths[0]) if n else None, n),
        MOST_LENGTH: (float(lengths[-1]) if n else None, n),
        COVERAGE: (float((totals.first > 0).sum()) / sizes, n),
        "coverage": (float((totals.all_places > 0).sum()) / sizes, n),
        TOP_SHARE: (top_share(totals.first), n),
        "gini": (gini(totals.first), n),
        OVERLAP if same_model else NEW_MODEL_OVERLAP: (
            totals.jaccard / totals.common if totals.common else None,
            totals.common,
        ),
        SUBSCRIBED_PAIRS: (float(totals.subscribed), n),
        SCORE_PSI: (score_psi, n),
    }
    numbers = [Number(Name(metric), value, rows) for metric, (value, rows) in plain.items()]
    places = int(totals.reasons.sum())
    numbers += [
        Number(Name("reason_share", name), float(count) / places if places else None, n)
        for name, count in zip(reason_names, totals.reasons, strict=False)
    ]
    return numbers + _score_numbers(totals.scores, n - totals.fallback)


def _score_numbers(scores: Sketch, lists: int) -> list[Number]:
    if not scores.finite:
        return []
    quantiles = dict(zip(_QUANTILES, scores.quantiles(list(_QUANTILES.values())).tolist(), strict=True))
    values = {"mean": scores.mean, "sd": scores.std, **quantiles}
    return [Number(Name(f"score_{name}"), float(value), lists) for name, value in values.items()]


def _places(catalogue: "NDArray[np.int64]", lists: "NDArray[np.int64]") -> "NDArray[np.int64]":
    places = place_of(catalogue, lists.ravel())
    return np.bincount(places[places >= 0], minlength=len(catalogue)).astype(np.int64)


def _grown(sums: "NDArray[np.int64]", more: "NDArray[np.int64]") -> "NDArray[np.int64]":
    size = max(len(sums), len(more))
    total: NDArray[np.int64] = np.pad(sums, (0, size - len(sums))) + np.pad(more, (0, size - len(more)))
    return total
