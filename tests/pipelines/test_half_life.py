"""The half-life of popularity is the one that was best on days before the evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.ranked_lists import half_life
from ok_ml.ranked_lists.half_life import HALF_LIVES, DailyCounts, choose_half_life, judging_windows
from ok_ml.recommender.retrieval.popularity import popularities_from_events
from ok_ml.recommender.retrieval.snapshot import Catalogue
from tests.pipelines.tiny_pipeline import Chain, make_chain
from tests.recommender.tiny_world import DATASET, DTS, SOURCE_IDS, USER_IDS, WEIGHTS, with_part, write_snapshots


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    chain = make_chain(tmp_path_factory.mktemp("half_life"))
    for dt in DTS[:5]:
        write_snapshots(chain.world.lake, dt)
    return chain


@pytest.fixture
def chain(shared: Chain, tmp_path: Path) -> Chain:
    return shared.copied(tmp_path)


def fashion(chain: Chain, days_a_hit: int) -> None:
    """Everybody likes one source a day, which changes every so many days; the oldest days had by far the most likes."""
    for number, dt in enumerate(DTS):
        hit = SOURCE_IDS[20 + number // days_a_hit]
        old = [source for source in SOURCE_IDS[:3].tolist() for _ in range(3 if number < 2 else 0)]
        sources = [hit, *old]
        table = pa.table({
            c.USER_ID: np.repeat(USER_IDS, len(sources)),
            c.SOURCE_ID: np.tile(np.array(sources, np.int64), len(USER_IDS)),
            c.EVENT_TYPE: [c.LIKE] * (len(USER_IDS) * len(sources)),
        })  # fmt: skip
        chain.world.lake.write(
            DATASET, c.EVENTS, dt, with_part(table), sort_by=[c.USER_ID, c.SOURCE_ID, c.EVENT_TYPE], by_part=True
        )


def test_counts_are_the_popularity_of_every_half_life(chain: Chain) -> None:
    lake, learnt = chain.world.lake, DTS[:7]
    counts, catalogue = DailyCounts.read(lake, DATASET, DTS, WEIGHTS), Catalogue.load(lake, DATASET, DTS[6])
    half_lives = (None, 4.0, 0.5)
    for days, exact in zip(
        half_lives, popularities_from_events(lake, DATASET, learnt, WEIGHTS, DTS[6], half_lives), strict=True
    ):
        scores = np.zeros(catalogue.size)
        scores[catalogue.index(exact.source_ids)] = exact.scores[0] / 2**20
        assert counts.scores(catalogue, DTS[6], learnt, days) == pytest.approx(scores, rel=1e-3, abs=1e-3)


def test_windows_end_before_the_cut_and_never_hold_the_days_that_they_count(chain: Chain) -> None:
    windows = judging_windows(chain.pipeline(), DTS[7])
    assert [(one.cut, list(one.label_dts)) for one in windows] == [
        (DTS[5], DTS[6:8]),
        (DTS[3], DTS[4:6]),
        (DTS[1], DTS[2:4]),
    ]
    for one in windows:
        assert max(one.learnt) == one.cut < min(one.label_dts)


def test_windows_end_where_snapshots_do(chain: Chain) -> None:
    lake = chain.world.lake
    (lake.root / DATASET / c.SUBSCRIPTIONS / "_committed" / f"{DTS[3]}.json").unlink()
    assert [one.cut for one in judging_windows(chain.pipeline(), DTS[7])] == [DTS[5]]


def test_a_network_of_fashions_forgets_fast(chain: Chain) -> None:
    fashion(chain, days_a_hit=4)
    chosen = choose_half_life(chain.pipeline(), DTS[7])
    assert chosen.days is not None
    assert chosen.days <= 2
    assert set(chosen.judged) == set(HALF_LIVES)
    assert chosen.judged[chosen.days] == max(chosen.judged.values()) > chosen.judged[None] + 0.1
    assert chosen.reason.startswith(f"half-life {chosen.days:g} days, ndcg@10 0.")


def test_of_equal_half_lives_the_longest_is_taken(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_life, "judge_half_lives", lambda *_: dict.fromkeys(HALF_LIVES, 0.5))
    assert choose_half_life(chain.pipeline(), DTS[7]).days is None


def test_without_a_day_that_judges_nothing_decays(chain: Chain) -> None:
    chain.subscribe_everybody(DTS)
    chosen = choose_half_life(chain.pipeline(), DTS[7])
    assert (chosen.days, chosen.judged) == (None, {})
    assert "could judge" in chosen.reason


@pytest.mark.parametrize("days", ["affinity_days: 6", "popularity_days: 6"])
def test_a_window_that_a_half_life_follows_makes_the_fits_anew(chain: Chain, days: str) -> None:
    before = chain.pipeline().inputs_of(c.EMBEDDINGS)
    after = replace(chain, yaml=chain.yaml.replace(days, days[:-1] + "3")).pipeline().inputs_of(c.EMBEDDINGS)
    assert {name for name in before if before[name] != after[name]} == {"half_lives"}
