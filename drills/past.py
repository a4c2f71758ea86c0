"""The past of a network that is served: what its people did before the story begins.

A band says what a number usually is. A network in which lists have been served for weeks has such a usual; one that shows its
first list today has not, since people who are served behave otherwise than before.
"""

import shutil
from collections.abc import Callable
from typing import Final

from drills.deployment import DATASET, DATASET_FILE, SIZE, Deployment
from drills.lab import LAKE, Lab

UNSERVED_DAYS: Final = 28  # until it has come to rest after the registrations of its first weeks
SERVED_DAYS: Final = 35
_RETRAINED_EVERY: Final = 7  # days


def live_a_past(deployment: Deployment, say: Callable[[str], None]) -> None:
    """Let the days before the story go by, with a model that is retrained every week; leave their raw log to the deployment."""
    total = UNSERVED_DAYS + SERVED_DAYS
    deployment.update(DATASET_FILE, {f"sizes.{SIZE}.world.days": total})
    lab = Lab(deployment, deployment.base / "past")
    dates = [lab.world.date_of(number) for number in range(total)]
    say(
        f"        the past: {UNSERVED_DAYS} days unserved, then {SERVED_DAYS} with lists of a model that learns every week"
    )
    lab.live(dates[:UNSERVED_DAYS])
    for number, dt in enumerate(dates[UNSERVED_DAYS:]):
        if number % _RETRAINED_EVERY == 0:
            bundle = lab.train()
        lab.live([dt], lab.predict(bundle, lab.days[-1]))
    target = deployment.state / LAKE / DATASET
    target.mkdir(parents=True)
    for raw in sorted((lab.state / LAKE / DATASET).glob("raw_*")):
        raw.rename(target / raw.name)
    shutil.rmtree(lab.state)
