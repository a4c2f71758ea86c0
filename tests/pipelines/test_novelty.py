"""What had passed between user and source before the evaluation, by hand."""

import numpy as np
import pyarrow.compute as pc
import pytest

from ok_ml import columns as c
from ok_ml.quality.ranking.ranking_metrics import Relevance
from ok_ml.ranked_lists.novelty import STRATA, by_novelty
from tests.pipelines.tiny_pipeline import Chain, make_chain
from tests.recommender.tiny_world import DTS, SOURCE_IDS, USER_IDS


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Events alone; nothing is trained."""
    return make_chain(tmp_path_factory.mktemp("novelty"))


def test_every_pair_is_in_the_stratum_of_its_strongest_event(chain: Chain) -> None:
    users, every = USER_IDS[:40], np.tile(SOURCE_IDS, (40, 1))
    rows = np.repeat(np.arange(40), len(SOURCE_IDS))
    everything = Relevance.from_rows(rows, every.ravel(), np.ones(len(rows), np.int64), 40)
    strata = by_novelty(chain.pipeline(), users, everything, {"all": every})
    seen: dict[str, set[tuple[int, int]]] = {c.IMPRESSION: set(), "reacted": set()}
    for dt in DTS[:8]:  # up to the cut of the evaluation
        for row in chain.world.events[dt].to_pylist():
            kind = c.IMPRESSION if row[c.EVENT_TYPE] == c.IMPRESSION else "reacted"
            seen[kind].add((row[c.USER_ID], row[c.SOURCE_ID]))
    expected = {
        "never_shown": lambda pair: pair not in seen[c.IMPRESSION],
        "shown_not_reacted": lambda pair: pair in seen[c.IMPRESSION] and pair not in seen["reacted"],
        "reacted_before": lambda pair: pair in seen["reacted"],
    }
    assert list(strata) == list(STRATA)
    for name, belongs in expected.items():
        wanted = [{s for s in SOURCE_IDS.tolist() if belongs((user, s))} for user in users.tolist()]
        stratum = strata[name]
        indptr = stratum.relevance.indptr
        for row, mine in enumerate(wanted):
            assert set(stratum.relevance.source_ids[indptr[row] : indptr[row + 1]].tolist()) == mine
            listed = stratum.lists["all"][row]
            assert listed[: len(mine)].tolist() == [
                s for s in SOURCE_IDS.tolist() if s in mine
            ]  # in the order of the list
            assert (listed[len(mine) :] == -1).all()


def test_a_stratum_without_a_relevant_source_is_left_out(chain: Chain) -> None:
    user = USER_IDS[:1]
    (day,) = (chain.world.events[DTS[0]].filter(pc.equal(chain.world.events[DTS[0]][c.USER_ID], int(user[0]))),)
    liked = day.filter(pc.not_equal(day[c.EVENT_TYPE], c.IMPRESSION))[c.SOURCE_ID].to_numpy()[:1]
    only = Relevance.from_rows(np.zeros(1, np.int64), liked, np.ones(1, np.int64), 1)
    assert list(by_novelty(chain.pipeline(), user, only, {"one": liked[None, :]})) == ["reacted_before"]
