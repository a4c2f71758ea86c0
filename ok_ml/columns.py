"""Every column, event type and table name of the project, once.

No other module spells one of these as a string literal.
"""

from typing import Final

# -- keys and time -----------------------------------------------------------
USER_ID: Final = "user_id"
SOURCE_ID: Final = "source_id"
ITEM_ID: Final = "item_id"
FRIEND_ID: Final = "friend_id"
PART: Final = "part"  # int32: hash of the entity id mod P, see ok_ml.hashing
DT: Final = "dt"  # the partition: ISO date; a month-grained dataset uses the month's first day

# -- events ------------------------------------------------------------------
EVENT_TYPE: Final = "event_type"
POSITION: Final = "position"  # int32, 0 = top of the feed; null for what is not an impression
CONTENT_TYPE: Final = "content_type"
DURATION_MS: Final = "duration_ms"
EVENT_TIME: Final = "event_time"  # timestamp[us, UTC]
GENERATION: Final = (
    "generation"  # of an impression: the name of the generation because of whose list it was shown; else null
)

IMPRESSION: Final = "impression"
LIKE: Final = "like"
CLICK: Final = "click"
COMMENT: Final = "comment"
SHARE: Final = "share"
HIDE: Final = "hide"
SUBSCRIBE: Final = "subscribe"
UNSUBSCRIBE: Final = "unsubscribe"
FRIEND_REQUEST: Final = "friend_request"  # item_id holds the other user; source_id is 0
PURCHASE: Final = "purchase"  # of a product: the source is its type, item_id the basket
TAG: Final = "tag"  # a word that a user puts on a source; item_id is the word
EVENT_TYPES: Final = (
    IMPRESSION, LIKE, CLICK, COMMENT, SHARE, HIDE, SUBSCRIBE, UNSUBSCRIBE, FRIEND_REQUEST, PURCHASE, TAG,
)  # fmt: skip

VIDEO: Final = "video"  # content types that features tell apart; a log may have others
PHOTO: Final = "photo"
TEXT: Final = "text"  # also the canonical column of a dataset of texts

# -- snapshots ---------------------------------------------------------------
NAME: Final = "name"
TOPIC: Final = "topic"  # string, nullable
KIND: Final = "kind"  # "group", "author", "artist", "product type", ...
CREATED_DT: Final = "created_dt"  # string ISO date, nullable
SEGMENT: Final = "segment"  # string, nullable: the user attribute that evaluation is broken down by
REGISTERED_DT: Final = "registered_dt"  # string ISO date, nullable

# -- texts -------------------------------------------------------------------
TEXT_ID: Final = "text_id"
LABEL: Final = "label"  # string, nullable: what a person said of the text

# -- predictions -------------------------------------------------------------
SOURCE_IDS: Final = "source_ids"  # list<int64>, best first
SCORES: Final = (
    "scores"  # list<float32>, parallel to source_ids: descending, but for the re-ranked head of a diverse list
)
PROBABILITY: Final = "probability"  # what the scores of a day's lists are, but for its fallback lists: of a reaction
ORDER: Final = "order"  # or: comparable inside one list only
REASONS: Final = "reasons"  # list<int8>, parallel to source_ids: see REASON_*
IS_FALLBACK: Final = "is_fallback"  # bool: the user had no history
PROPENSITIES: Final = "propensities"  # list<float32>, parallel to source_ids: with which the place holds this source

REASON_TASTE: Final = 0  # retrieved by the embeddings
REASON_POPULAR: Final = 1  # retrieved by popularity
REASON_FRIENDS: Final = 2  # retrieved by friends' subscriptions
REASON_FALLBACK: Final = 3  # the list for users without history
REASON_SIMILAR: Final = 4  # retrieved by similarity to sources of the user's history
REASON_NAMES: Final = ("taste", "popular", "friends", "fallback", "similar")

# -- tables of the lake --------------------------------------------------------
EVENTS: Final = "events"
TEXTS: Final = "texts"  # of a dataset of texts
USERS: Final = "users"
SOURCES: Final = "sources"
SUBSCRIPTIONS: Final = "subscriptions"
FRIENDS: Final = "friends"
REJECTED: Final = "rejected_events"
USER_FEATURES: Final = "user_features"
SOURCE_FEATURES: Final = "source_features"
PAIR_FEATURES: Final = "pair_features"
TEXT_FEATURES: Final = "text_features"
TEXT_STATISTICS: Final = "text_statistics"  # of an experiment: numbers of each day's texts
USER_TOPICS: Final = "user_topics"
FEATURE_STATISTICS: Final = "feature_statistics"
EMBEDDINGS: Final = "embeddings"
RETRIEVAL: Final = "retrieval"  # of an experiment that makes lists: what a day's candidates come from
TRAINING_SET: Final = "training_set"
PREDICTIONS: Final = "predictions"
MODEL: Final = "model"
EVALUATION: Final = "evaluation"
CHAMPION: Final = "champion"
PUBLICATION: Final = "publication"
LIVE_PREDICTIONS: Final = "live_predictions"
LIVE_HISTORY: Final = "live_history"  # what went live and when
EVENT_STATISTICS: Final = "event_statistics"  # of a dataset: numbers of each day's log and snapshots
PRODUCT_METRICS: Final = "product_metrics"  # of a dataset: what people did on each day
PREDICTION_STATISTICS: Final = "prediction_statistics"  # of an experiment: numbers of each day's lists
EMBEDDING_STATISTICS: Final = "embedding_statistics"  # of an experiment: numbers of each fit of the vectors
ONLINE_METRICS: Final = "online_metrics"  # of an experiment: what was served against what people did with it

SNAPSHOTS: Final = (USERS, SOURCES, SUBSCRIPTIONS, FRIENDS)  # friends last: where they have no dates, they need users
FEATURE_TABLES: Final = (USER_FEATURES, SOURCE_FEATURES, PAIR_FEATURES, USER_TOPICS)
RAW_LOG: Final = "raw_log"  # of a simulated dataset, or of one that is fed by a topic: an asset
CONFIG: Final = "config"  # of an experiment: the YAML that its training reads, an asset without a table
DATASET_TABLES: Final = (EVENTS, *SNAPSHOTS)
DATASET_SERIES: Final = (EVENT_STATISTICS, PRODUCT_METRICS)
