"""What columns and their values are usually called, in English and Russian logs."""

import re
from typing import Final

from ok_ml import columns as c

TIME: Final = "time"
WEIGHT: Final = "weight"
UNIQUE: Final = "unique"
DATE_PARTS: Final = ("year", "month", "day")
REACTIONS: Final = "reactions"

_CAMEL: Final = re.compile(r"(?<=[a-zа-яё0-9])(?=[A-ZА-ЯЁ])|(?<=[A-Z])(?=[A-Z][a-z])")

# role -> words of column names, the most telling ones first
ROLE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    c.USER_ID: (
        "user", "usr", "uid", "member", "customer", "client", "klient", "kunde", "visitor", "viewer", "listener", "reader",
        "buyer", "household", "account", "subscriber", "person", "profile", "login", "actor", "who", "cookie", "device",
        "пользователь", "клиент", "покупатель", "подписчик", "юзер",
    ),
    c.SOURCE_ID: (
        "source", "owner", "author", "artist", "group", "channel", "publisher", "community", "creator", "seller", "brand",
        "shop", "category", "department", "section", "genre", "источник", "автор", "исполнитель", "группа", "канал",
        "категория", "раздел",
    ),
    c.ITEM_ID: (
        "item", "object", "post", "product", "content", "video", "photo", "article", "track", "song", "movie", "film", "book",
        "document", "doc", "tag", "sku", "offer", "banner", "basket", "order", "thing", "what", "page", "business", "news",
        "товар", "пост", "фильм", "трек", "статья", "заказ",
    ),
    c.EVENT_TYPE: (
        "event", "action", "verb", "activity", "operation", "behavior", "behaviour", "interaction", "reaction", "did", "act",
        "kind", "type", "событие", "действие", "тип",
    ),
    c.POSITION: ("position", "pos", "rank", "slot", "place", "позиция", "место"),
    TIME: (
        "timestamp", "datetime", "time", "ts", "date", "dt", "when", "moment", "occurred", "created", "logged", "day", "время",
        "дата", "когда", "день",
    ),
    WEIGHT: (
        "rating", "weight", "score", "stars", "plays", "playcount", "count", "quantity", "qty", "amount", "price", "value",
        "оценка", "количество", "сумма", "цена",
    ),
    REACTIONS: ("feedback", "reactions"),
}  # fmt: skip
_CONTENT: Final = {"content", "object", "media", "post", "item"}
_UNIQUE: Final = {"event", "log", "request", "row", "message", "transaction", "record", "uuid", "guid"}
FLAG_WORDS: Final = {
    "click": c.CLICK, "clicked": c.CLICK, "like": c.LIKE, "liked": c.LIKE, "target": c.CLICK, "label": c.CLICK,
    "purchased": c.PURCHASE, "bought": c.PURCHASE,
}  # fmt: skip

PURCHASE_WORDS: Final = {
    "purchase", "purchases", "transaction", "transactions", "order", "orders", "basket", "quantity", "qty", "price", "sales",
    "buyer", "покупатель", "покупка", "покупки", "заказ", "сумма", "цена", "количество", "pokupki", "zakazy",
}  # fmt: skip
TAG_WORDS: Final = {"tag", "tags", "tagged", "tagid"}
RATING_WORDS: Final = {"rating", "ratings", "rate", "stars", "star", "score", "grade", "overall", "оценка", "рейтинг"}
LIKE_WORDS: Final = {"rating", "ratings", "like", "likes", "stars", "оценка"}

# raw word -> canonical event type
EVENT_WORDS: Final[dict[str, str]] = {
    word: name
    for name, words in {
        c.IMPRESSION: "impression imp show shown showed display displayed exposure seen показ",
        c.CLICK: "click clicked clk tap open opened view viewed pageview detail visit read play played watch watched listen "
        "listened клик просмотр переход",
        c.LIKE: "like liked fav favorite favourite upvote love loved heart addtocart cart wishlist bookmark save saved класс лайк",
        c.COMMENT: "comment commented reply replied review reviewed комментарий",
        c.SHARE: "share shared reshare reshared repost retweet retweeted forward репост",
        c.HIDE: "hide hidden dislike disliked downvote report reported complaint block skip скрыть",
        c.SUBSCRIBE: "subscribe subscribed follow followed join joined подписка",
        c.UNSUBSCRIBE: "unsubscribe unsubscribed unfollow unfollowed leave left отписка",
        c.PURCHASE: "purchase purchased buy bought order ordered transaction checkout sale покупка заказ",
        c.TAG: "tag tagged",
    }.items()
    for word in words.split()
}


def tokens(name: str) -> list[str]:
    """The words of a column name or value: ``metadata_ownerId`` -> metadata, owner, id."""
    pieces = re.split(r"[^0-9A-Za-zА-Яа-яЁё]+", _CAMEL.sub(" ", name))
    return [piece.lower() for piece in pieces if piece]


def name_score(name: str, role: str) -> float:
    """How much a column's name speaks for a role: 0 not at all, below 3 a little, from 3 on by its very word."""
    words, stems = tokens(name), [_stem(word) for word in tokens(name)]
    if role == c.CONTENT_TYPE:
        return 3.0 if ("type" in words and _CONTENT & set(words)) or {"contenttype", "objecttype"} & set(words) else 0.0
    if role == UNIQUE:
        return 3.0 if {"uuid", "guid"} & set(words) or (_UNIQUE & set(stems) and is_id(name)) else 0.0
    if role == c.DURATION_MS:
        is_clock = bool({"timestamp", "time", "ts"} & set(words))
        return 3.0 if {"ms", "millis", "milliseconds"} & set(words) and not is_clock else 0.0
    known = ROLE_WORDS[role]
    places = [known.index(word) for word in (*words, *stems) if word in known]
    return 3.0 + 1.0 / (1 + min(places)) if places else 0.0


def is_known(name: str) -> bool:
    """Whether a name speaks for any role."""
    return any(name_score(name, role) for role in ROLE_WORDS)


def is_date_part(name: str) -> bool:
    """Whether a name says that its column holds a time or a part of one."""
    return bool(name_score(name, TIME) or {*DATE_PARTS, "hour", "hh", "minute"} & set(tokens(name)))


def is_id(name: str) -> bool:
    """Whether a name says that its column holds ids."""
    words = tokens(name)
    return bool({"id", "uid", "uuid", "guid", "key", "no", "nr", "number"} & set(words)) or any(
        word.endswith("id") and len(word) > 3 for word in words
    )


def event_type_of(value: str) -> str | None:
    """The canonical event type that a raw word seems to mean."""
    joined = "".join(tokens(value))
    if joined in EVENT_WORDS:
        return EVENT_WORDS[joined]
    types = [EVENT_WORDS[word] for word in tokens(value) if word in EVENT_WORDS]
    return types[-1] if types else None


def _stem(word: str) -> str:
    for ending in ("ids", "id", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending)
    return word
