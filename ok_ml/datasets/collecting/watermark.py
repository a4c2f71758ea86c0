"""How far a topic is in event time, and which days are complete by that."""

from dataclasses import dataclass, field

from ok_ml.config.sections.topic_models import TopicConfig
from ok_ml.datasets.collecting.contract import DAY_MS


@dataclass
class Watermark:
    """The progress of each partition.

    A partition that has not been read to its end holds the watermark at what it has brought, or back altogether if that is
    nothing yet. One that has been read to its end and was quiet for `idle_seconds` does not hold it.

    Attributes
    ----------
    partitions
        How many the topic has.
    quiet_since
        Wall time (monotonic seconds) from which each partition has brought nothing; none is idle while the broker does
        not answer.
    """

    config: TopicConfig
    partitions: int
    quiet_since: dict[int, float] = field(default_factory=dict)

    def moved(self, partition: int, now: float) -> None:
        """A partition has brought something."""
        self.quiet_since[partition] = now

    def restart(self, now: float) -> None:
        """No partition has been quiet for any time: at the start, and while the broker does not answer."""
        self.quiet_since = dict.fromkeys(range(self.partitions), now)

    def value_ms(self, newest_ms: dict[int, int], ended: set[int], now: float, wall_ms: int) -> int | None:
        """Event time, milliseconds since 1970 UTC; None while a partition that was not read to its end holds it back.

        Parameters
        ----------
        newest_ms
            Partition -> the largest event time that is written down.
        ended
            Partitions that have been read to their end.
        now
            Monotonic seconds at which the broker has answered last.
        wall_ms
            The wall clock, milliseconds since 1970 UTC: the watermark when every partition is idle.
        """
        holding = []
        for part in range(self.partitions):
            if part in ended and (part not in newest_ms or self._is_idle(part, now)):
                continue
            if part not in newest_ms:
                return None
            holding.append(newest_ms[part])
        if holding:
            return min(holding)
        all_idle = all(self._is_idle(part, now) for part in range(self.partitions))
        return wall_ms if all_idle else None

    def is_complete(self, day: int, watermark_ms: int | None) -> bool:
        """Whether a day (since 1970-01-01) is over, lateness included."""
        if watermark_ms is None:
            return False
        return watermark_ms >= (day + 1) * DAY_MS + int(self.config.lateness_seconds * 1000)

    def _is_idle(self, part: int, now: float) -> bool:
        return now - self.quiet_since.get(part, now) >= self.config.idle_seconds
