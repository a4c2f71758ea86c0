"""Words of the simulated network: topics, names of people, titles of sources."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TOPICS: Final = (
    "humour", "cooking", "music", "news", "family", "gardening", "health", "films", "football", "cars", "travel",
    "fashion", "crafts", "pets", "history", "games", "science", "fishing", "photography", "books", "finance",
    "education", "art", "technology", "hockey", "faith", "fitness", "nature", "poetry", "military", "dance", "chess",
)  # fmt: skip
AGE_GROUPS: Final = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
AGE_SHARES: Final = (0.10, 0.20, 0.24, 0.20, 0.16, 0.10)
CONTENT_TYPES: Final = ("photo", "text", "video", "link", "poll")
ACTIONS: Final = ("show", "click", "like", "comment", "reshare", "hide", "subscribe", "unsubscribe", "friend_request")

_FIRST = ("Anna", "Boris", "Daria", "Egor", "Galina", "Ilya", "Irina", "Kirill", "Lidia", "Maxim", "Nina", "Oleg", "Polina",
          "Roman", "Sofia", "Timur", "Vera", "Yuri", "Zoya", "Artem")  # fmt: skip
_LAST = ("Belo", "Vetro", "Gorno", "Dubro", "Zimo", "Kamen", "Lugo", "Moro", "Novo", "Ozero", "Pole", "Rechno", "Svetlo",
         "Teplo", "Ulano", "Yasno")  # fmt: skip
_ENDING = ("va", "vin", "vsky", "vich", "tsev", "tov")
_TITLE = ("All about", "Daily", "World of", "Our", "Friends of", "Best of", "Club of", "Simply", "Secrets of", "Planet",
          "Evenings of", "School of", "Corner of", "Stories of", "Masters of", "Live")  # fmt: skip


def topic_name(topic: int) -> str:
    """The name of a topic; beyond the list: its number."""
    return TOPICS[topic] if topic < len(TOPICS) else f"topic {topic + 1}"


def words(vocabulary: tuple[str, ...], choice: NDArray[np.integer]) -> pa.Array:
    """Strings chosen from a short list; null for a negative choice."""
    return pa.array(vocabulary, pa.string()).take(pa.array(choice.astype(np.int32), mask=choice < 0))


def user_names(bits: NDArray[np.uint64]) -> pa.Array:
    """A person's name for each 64 random bits; names repeat, as names do."""
    last = pc.binary_join_element_wise(_pick(_LAST, bits, 8), _pick(_ENDING, bits, 16), "")
    return pc.binary_join_element_wise(_pick(_FIRST, bits, 0), last, " ")


def source_titles(bits: NDArray[np.uint64], topics: NDArray[np.integer], number: NDArray[np.int64]) -> pa.Array:
    """A title for each source, e.g. ``Club of cooking 117``."""
    names = tuple(topic_name(topic) for topic in range(int(topics.max(initial=0)) + 1))
    numbers = pa.array(number + 1).cast(pa.string())
    return pc.binary_join_element_wise(_pick(_TITLE, bits, 0), words(names, topics), numbers, " ")


def _pick(vocabulary: tuple[str, ...], bits: NDArray[np.uint64], shift: int) -> pa.Array:
    return words(vocabulary, ((bits >> np.uint64(shift)) & np.uint64(0xFF)).astype(np.int64) % len(vocabulary))
