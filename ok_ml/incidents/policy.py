"""When an incident is reported again, what counts as the same one, and who is notified of it."""

from dataclasses import dataclass, field
from typing import Final

from ok_ml.config.sections.environment_models import AlertChannel, AlertsConfig
from ok_ml.incidents.signals import DAY_SECONDS, Kind, Severity

FILE: Final = "file"
TOPIC: Final = "topic"
ALWAYS: Final = (FILE, TOPIC)

# However fast days go by, a message more often is too much, and two ticks of the sensor must fit ...
LEAST_SECONDS: Final = 60.0
# ... and a run, which fast days do not make faster, may meet one cause at several of its checks.
LEAST_GATHERING_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Policy:
    """The section `alerts` of the environment, as the incidents need it.

    Attributes
    ----------
    channels
        Those besides file and topic whose address is known.
    """

    config: AlertsConfig = field(default_factory=AlertsConfig)
    channels: tuple[AlertChannel, ...] = ()

    def repeat_pause(self, repeats: int, day_seconds: float) -> float:
        """Seconds between the last message of an open incident and the next repetition."""
        return seconds(self.config.repeat_every_hours if repeats else self.config.repeat_after_hours, day_seconds)

    def reopen_window(self, kind: Kind, day_seconds: float) -> float:
        """Seconds after closing in which the same failure is still the same incident."""
        if kind in ("process", "heartbeat"):
            return self.config.reopen_process_within_seconds
        return seconds(self.config.reopen_within_hours, day_seconds)

    def gather_window(self, day_seconds: float) -> float:
        """Seconds after opening in which failing checks along the lineage are taken for the same cause."""
        return max(seconds(self.config.gather_hours, day_seconds), LEAST_GATHERING_SECONDS)

    def routed(self, owners: set[str], severity: Severity) -> tuple[str, ...]:
        """Names of the channels that are notified of an incident, file and topic aside."""
        return tuple(one.name for one in self.channels if hears(one, owners, severity))


def hears(channel: AlertChannel, owners: set[str], severity: Severity) -> bool:
    """Whether a channel is for one of these owners and for this severity; what has no owner concerns every channel."""
    for_owner = not channel.owners or not owners or bool(owners & set(channel.owners))
    return for_owner and severity in channel.severities


def seconds(hours: float, day_seconds: float) -> float:
    """Wall seconds of so many hours of a day that takes `day_seconds`."""
    return max(hours * 3600.0 * day_seconds / DAY_SECONDS, LEAST_SECONDS)
