"""How the people of the simulated network behave: every number, with its unit, in one place.

The values were fixed before any model was tuned on the world. `WorldConfig.behaviour` overrides them by name.
"""

from dataclasses import dataclass, fields, replace

from ok_ml.config.models import WorldConfig
from ok_ml.errors import ConfigError

GROWTH_DAYS = 28  # `users` and `sources` of WorldConfig count who is there after this many days


@dataclass(frozen=True)
class Behaviour:
    """Behavioural parameters; shares are in [0, 1], utilities are log odds."""

    # -- who is there --------------------------------------------------------------------------------------
    registered_later_share: float = 0.08  # users that register on days 1..27 instead of before day 0
    silent_share: float = 0.02  # users that never have an event
    born_later_share: float = 0.15  # sources created on days 1..27
    source_life_days: float = 400.0  # mean life of a source, exponential
    source_size_exponent: float = 0.75  # size = uniform^-exponent: the slope of size against rank
    second_topic_share: float = 0.35  # sources that post about a second topic
    topic_missing_share: float = 0.06  # sources without an entered topic
    circle_users: int = 25  # users of one circle of friends
    circle_friend_share: float = 0.5  # pairs inside a circle that are (or will be) friends
    distant_friends: int = 3  # candidates for a friendship outside the circle, a user
    distant_friend_share: float = 0.6  # of these candidates that are (or will be) friends
    later_friend_share: float = 0.2  # friendships that begin after day 0
    later_friend_days: float = 60.0  # mean time until they begin

    # -- taste ---------------------------------------------------------------------------------------------
    sources_a_niche: int = 35  # sources that share a niche of a topic, about
    homophily: float = 0.6  # share of a user's interests that are the circle's
    stable_share: float = 0.4  # users whose taste never moves
    jumping_share: float = 0.25  # users whose taste jumps; the rest drifts slowly
    drift_epoch_days: float = 40.0  # mean time in which a drifting interest turns into another
    jump_epoch_days: float = 18.0  # mean time between the jumps of a jumping interest
    moving_interest_share: float = 0.6  # interests of a moving user that move

    # -- when and how much ---------------------------------------------------------------------------------
    active_share: float = 0.40  # mean probability that a user comes on a weekday
    posts_a_visit_day: float = 6.6  # mean posts shown to a user on a day of presence
    posts_spread: float = 0.75  # standard deviation of log posts a day between users
    weekend_factor: float = 1.15  # presence on Saturday and Sunday
    session_posts: int = 8  # posts of one session; the position starts again at 0 with the next

    # -- what is shown (organic channels; they sum to 1 with served_share) ---------------------------------
    subscribed_share: float = 0.30  # posts of subscribed sources
    friends_share: float = 0.12  # sources that the circle subscribes to
    trends_share: float = 0.08  # what the circle talks about these days
    finds_share: float = 0.16  # what the user keeps running into these days
    taste_share: float = 0.14  # sources of the user's niches by their size
    served_share: float = 0.20  # what the storage serves; without a list: popular and exploration
    unserved_exploration_share: float = 0.3  # of served_share without a list: any source; the rest is popular
    served_position_decay: float = 0.7  # a list's rank r is looked at with weight (1 + r)^-decay
    finds: int = 5  # sources of a user's finds
    find_days: int = 10  # days that a find lasts
    trends: int = 4  # sources of a circle's trends
    trend_days: int = 8  # days that a trend lasts
    long_tail_exponent: float = 0.6  # finds and trends are drawn by size^exponent

    # -- sources move --------------------------------------------------------------------------------------
    wave_size: float = 0.4  # standard deviation of log weight over a source's own wave
    burst_share: float = 0.12  # sources with a burst in a fortnight
    burst_factor: float = 5.0  # added weight at the top of a burst, of the usual weight
    burst_days: float = 3.0  # decay of a burst
    novelty_factor: float = 2.0  # added weight of a source on the day of its birth

    # -- how people react ----------------------------------------------------------------------------------
    base_utility: float = -3.1  # log odds of a positive reaction to a post off one's taste
    match_utility: float = 3.4  # added for a perfect match of taste
    niche_match: float = 0.65  # of a match: the same niche; the rest: the same topic
    match_saturation: float = 5.0  # match = 1 - exp(-saturation * taste of the user for what the source posts about)
    quality_utility: float = 0.5  # a standard deviation of the source's quality
    pair_utility: float = 0.8  # standard deviation of what is personal between a user and a source
    social_utility: float = 0.4  # per log(1 + members of the circle that are subscribed)
    subscribed_utility: float = 0.3  # for a source one is subscribed to
    generosity: float = 0.5  # standard deviation between users
    position_decay: float = 0.09  # attention at position p: 1 / (1 + decay * p)
    subscribe_share: float = 0.07  # positive reactions to a source not subscribed to that end in a subscription
    hide_share: float = 0.03  # negative reactions that hide, at utility far below 0
    unsubscribe_share: float = 0.5  # hides of a subscribed source that end the subscription
    stray_requests: float = 0.002  # friend requests a user and day that lead nowhere
    initial_subscriptions: float = 17.0  # mean subscriptions on day 0
    dwell_ms: float = 4200.0  # median time spent on a post of average utility, ms
    dwell_spread: float = 0.8  # standard deviation of log time spent


def behaviour_of(config: WorldConfig) -> Behaviour:
    """The defaults with the overrides of a configuration.

    Raises
    ------
    ConfigError
        An override names no parameter.
    """
    kinds = {field.name: type(getattr(Behaviour(), field.name)) for field in fields(Behaviour)}
    unknown = sorted(set(config.behaviour) - set(kinds))
    if unknown:
        raise ConfigError(
            f"world.behaviour: no such parameter: {', '.join(unknown)}",
            why="an override that changes nothing would look like one that did",
            remedy=f"use one of: {', '.join(sorted(kinds))}",
        )
    return replace(Behaviour(), **{name: kinds[name](value) for name, value in config.behaviour.items()})
