"""What the candidates of a day come from: vectors, neighbours, popularity and activity, all up to the same day by one recipe."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ok_ml.config.models import EmbeddingsStage, NeighboursStage
from ok_ml.errors import ModelError
from ok_ml.recommender.retrieval.activity import Activity
from ok_ml.recommender.retrieval.neighbours import Neighbours
from ok_ml.recommender.retrieval.popularity import Popularity
from ok_ml.recommender.vectors.embeddings import Factors

_NEIGHBOURS, _POPULARITY, _RECENT, _ALL_TIME = "neighbours", "popularity", "recent_popularity", "all_time_popularity"
_RECIPE: Final = "retrieval.json"


@dataclass(frozen=True)
class RetrievalRecipe:
    """How they are fitted. A champion brings its own: what is served is fitted as what was judged.

    Attributes
    ----------
    popularity_half_life_days
        Of the popularity that candidates, fallback lists and a feature come from.
    recent_half_life_days
        Of what is hot just now, chosen on days before; None: no decay.
    activity_half_life_days
        Of what users met.
    """

    embeddings: EmbeddingsStage
    neighbours: NeighboursStage
    popularity_half_life_days: float
    recent_half_life_days: float | None
    activity_half_life_days: float

    def as_dict(self) -> dict[str, object]:
        """It as JSON has it."""
        stages = {"embeddings": self.embeddings, "neighbours": self.neighbours}
        said = {name: stage.model_dump(mode="json") for name, stage in stages.items()}
        return {
            **said,
            "popularity_half_life_days": self.popularity_half_life_days,
            "recent_half_life_days": self.recent_half_life_days,
            "activity_half_life_days": self.activity_half_life_days,
        }

    def save(self, folder: Path) -> None:
        """Write one file into `folder`."""
        (folder / _RECIPE).write_text(json.dumps(self.as_dict(), indent=1, sort_keys=True) + "\n")

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a bundle has one; those of versions that bundled the vectors themselves do not."""
        return (folder / _RECIPE).exists()

    @classmethod
    def load(cls, folder: Path) -> "RetrievalRecipe":
        """Read the file of `save`. Raises ModelError where there is none."""
        if not cls.is_in(folder):
            raise ModelError(
                f"the model in {folder} does not say how its candidates are fitted",
                why="it was made by an older version, which bundled the vectors themselves",
                remedy="train it again: ok-ml run EXPERIMENT --force",
            )
        raw = json.loads((folder / _RECIPE).read_text())
        stages = EmbeddingsStage.model_validate(raw["embeddings"]), NeighboursStage.model_validate(raw["neighbours"])
        half_lives = (raw[f"{name}_half_life_days"] for name in ("popularity", "recent", "activity"))
        return cls(*stages, *half_lives)


@dataclass(frozen=True)
class Fitted:
    """What was fitted.

    Attributes
    ----------
    popularity, recent
        With the recipe's half-lives.
    all_time
        Popularity in the whole window, without decay.
    activity
        What users met, lately more than long ago.
    """

    factors: Factors
    neighbours: Neighbours
    popularity: Popularity
    recent: Popularity
    all_time: Popularity
    activity: Activity

    def save(self, folder: Path) -> None:
        """Write everything into `folder`, made if need be."""
        self.factors.save(folder)
        if self.neighbours.models:
            self.neighbours.save(folder / _NEIGHBOURS)
        self.popularity.save(folder / _POPULARITY)
        self.recent.save(folder / _RECENT)
        self.all_time.save(folder / _ALL_TIME)
        self.activity.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "Fitted":
        """Map the files of `save` into memory, read-only."""
        popularity, recent, all_time = (Popularity.load(folder / name) for name in (_POPULARITY, _RECENT, _ALL_TIME))
        neighbours, activity = Neighbours.load(folder / _NEIGHBOURS), Activity.load(folder)
        return cls(Factors.load(folder), neighbours, popularity, recent, all_time, activity)
