"""What a person has accepted of a verdict: a record beside it that names the findings and the version of the data.

It holds for what was looked at alone: another finding on the same data, or the same finding on other data, is open again.
"""

from dataclasses import dataclass
from typing import Final

from ok_ml.lake import Lake

JUDGED: Final = "judged"  # in the details of a verdict, and among the inputs of an acceptance: version of the data
ACCEPTED: Final = "accepted"  # in the details of an acceptance: keys of findings
ALL: Final = (
    "*"  # the finding of verdicts that were written before findings were stored, and all findings of such a record
)


@dataclass(frozen=True)
class Acceptance:
    """Who has accepted what of one verdict, and why."""

    who: str
    when: str
    reason: str
    version: str
    keys: frozenset[str]

    def covers(self, key: str) -> bool:
        """Whether a finding is among what was accepted."""
        return key in self.keys or ALL in self.keys

    def __str__(self) -> str:
        return f"accepted by {self.who}: {self.reason}"


def acceptances_of(verdicts: str) -> str:
    """The table with what was accepted of a table of verdicts."""
    return f"{verdicts}_acceptance"


def acceptance_of(lake: Lake, scope: str, table: str, dt: str, version: str) -> Acceptance | None:
    """What was accepted of a verdict on just this version of the data."""
    manifest = lake.find(scope, acceptances_of(table), dt)
    if manifest is None or version != manifest.inputs.get(JUDGED, manifest.inputs.get("statistics", "")):
        return None
    told = manifest.details
    return Acceptance(told["who"], told["when"], told["reason"], version, frozenset(told.get(ACCEPTED, [ALL])))
