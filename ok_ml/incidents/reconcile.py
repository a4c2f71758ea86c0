"""From what is wrong now to incidents: opening, joining, repeating, closing. Pure but for the store that it writes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ok_ml.incidents.policy import ALWAYS, Policy
from ok_ml.incidents.records import Event, Incident, Member, document, message_id, told_by
from ok_ml.incidents.signals import DAY_SECONDS, KINDS, Kind, Lineage, Signal, in_order
from ok_ml.incidents.store import Store, Transaction, new_id


@dataclass
class Changes:
    """Ids of the incidents to which something happened; `joined` are keys of signals that became consequences."""

    opened: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)
    escalated: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {name: len(ids) for name, ids in vars(self).items() if ids}
        return ", ".join(f"{count} {name}" for name, count in counts.items())


def reconcile(
    store: Store,
    failing: Iterable[Signal],
    *,
    now: float,
    passed: Iterable[str] = (),
    complete: Collection[Kind] = (),
    lineage: Lineage | None = None,
    policy: Policy | None = None,
    cursors: Mapping[str, str] | None = None,
) -> Changes:
    """Bring the incidents up to what is wrong now, in one transaction.

    A signal that is already part of an open incident is still wrong; one of an incident that was closed a short while ago
    opens that one again. Otherwise it joins an open incident from which it follows: one that it names as its cause, or one
    along the lineage. Otherwise it opens an incident of its own. An incident closes when none of its signals is wrong any
    more; one that was opened again closes only after it was good for as long as it could be opened again.

    Parameters
    ----------
    failing
        Everything that is wrong, or was between the last look and this one (`Signal.until`).
    passed
        Keys of signals that are good.
    complete
        Kinds of which `failing` has every signal: a signal of these kinds that is not in it is good.
    cursors
        Where sources continue next time; stored in the same transaction, so that nothing is seen twice or never.
    """
    with store.writing() as transaction:
        book = _Book(transaction, lineage or Lineage(), policy or Policy(), now)
        for signal in in_order(failing, book.lineage):
            book.see(signal)
        book.let_pass(set(passed), complete)
        book.name_by_first_cause()
        book.settle()
        transaction.set_cursors(cursors or {})
    return book.changes


class _Book:
    """The incidents that matter now, and what happens to them."""

    def __init__(self, transaction: Transaction, lineage: Lineage, policy: Policy, now: float) -> None:
        self.transaction, self.lineage, self.policy, self.now = transaction, lineage, policy, now
        self.changes = Changes()
        self.open = transaction.open_incidents()
        self.recent = transaction.closed_since(now - max(policy.reopen_window(kind, DAY_SECONDS) for kind in KINDS))
        self.seen = set[str]()

    # -- signals -------------------------------------------------------------------------------------------------

    def see(self, signal: Signal) -> None:
        """Find the incident of a signal, or open one."""
        self.seen.add(signal.key)
        incident = self._known(signal.key) or self._reopened(signal.key) or self._cause_of(signal)
        if incident is None:
            self._open(signal)
            return
        member = incident.members.get(signal.key)
        if member is None:
            incident.members[signal.key] = Member.of(signal, self.now)
            self.changes.joined.append(signal.key)
        else:
            member.see(signal, self.now)
        incident.last_seen_at = self.now

    def _known(self, key: str) -> Incident | None:
        return next((one for one in self.open if key in one.members), None)

    def _reopened(self, key: str) -> Incident | None:
        """The incident of this key that was closed a short while ago, open again."""
        for incident in reversed(self.recent):
            ended = incident.closed_at or 0.0
            if key in incident.members and self.now - ended <= self.policy.reopen_window(
                incident.kind, incident.day_seconds
            ):
                self.recent.remove(incident)
                self.open.append(incident)
                incident.closed_at, incident.repeats, incident.episodes = None, 0, incident.episodes + 1
                incident.acknowledged_by = incident.acknowledged_at = None
                self.changes.reopened.append(incident.id)
                return incident
        return None

    def _cause_of(self, signal: Signal) -> Incident | None:
        """The incident from which a new signal follows."""
        for cause in signal.causes:
            incident = self._known(cause) or self._reopened(cause)
            if incident is not None:
                return incident
        return next((one for one in self.open if self._is_related(signal, one)), None)

    def _is_related(self, signal: Signal, incident: Incident) -> bool:
        """Whether a signal is a consequence of an incident, or another sight of its cause.

        Runs that fail and assets that become stale downstream follow from it however late they come. A check that fails along
        the lineage, and anything upstream, is taken for the same cause only within the gathering window: a check that fails
        a week later has something new to say.
        """
        if signal.asset is None or signal.kind in ("process", "heartbeat"):
            return False
        assets = [member.asset for member in incident.failing if member.asset is not None]
        downstream = any(self.lineage.follows(signal.asset, asset) for asset in assets)
        if downstream and signal.kind in ("freshness", "run"):
            return True
        is_new = self.now - incident.opened_at <= self.policy.gather_window(incident.day_seconds)
        return is_new and (downstream or any(self.lineage.follows(asset, signal.asset) for asset in assets))

    def _open(self, signal: Signal) -> None:
        while (fresh := new_id(self.now)) in {one.id for one in self.open} or self.transaction.named(fresh):
            pass
        incident = Incident(
            fresh,
            **told_by(signal),
            day_seconds=signal.day_seconds,
            opened_at=self.now,
            last_seen_at=self.now,
            told_at=self.now,
            members={signal.key: Member.of(signal, self.now)},
        )
        self.open.append(incident)
        self.changes.opened.append(fresh)

    def let_pass(self, passed: set[str], complete: Collection[Kind]) -> None:
        """What was not seen now and is known to be good is good from now on."""
        for incident in self.open:
            for member in incident.failing:
                if member.key not in self.seen and (member.key in passed or member.kind in complete):
                    member.passed_at = self.now

    def name_by_first_cause(self) -> None:
        """An incident carries the first cause of what is wrong: the one upstream, whichever was noticed first."""
        for incident in self.open:
            now = incident.members[incident.key]
            upstream = [
                one
                for one in incident.failing
                if self._order(one) < self._order(now) and self.lineage.follows(now.asset, one.asset)
            ]
            if upstream:
                incident.lead_by(min(upstream, key=lambda one: (*self._order(one), one.since, one.key)))

    def _order(self, member: Member) -> tuple[int, int]:
        return KINDS.index(member.kind), self.lineage.depth(member.asset)

    # -- messages ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Tell what happened to each open incident, close it if nothing of it is wrong any more, and store it."""
        for incident in self.open:
            self._tell_beginning(incident)
            if self._is_over(incident):
                incident.closed_at = self.now
                self.changes.closed.append(incident.id)
                self._tell(incident, "closed", incident.episodes)
            else:
                self._repeat(incident)
                self._tell_others(incident)
            self.transaction.save(incident)

    def _tell_beginning(self, incident: Incident) -> None:
        """Say that an incident is new, back, or worse than before."""
        before, incident.severity = incident.severity, incident.worst_severity
        if incident.id in self.changes.opened:
            self._tell(incident, "opened", 1)
        elif incident.id in self.changes.reopened:
            self._tell(incident, "reopened", incident.episodes)
        elif incident.severity != before:
            self.changes.escalated.append(incident.id)
            self._tell(incident, "escalated", 1)

    def _is_over(self, incident: Incident) -> bool:
        if incident.failing:
            return False
        good_since = max(member.passed_at or 0.0 for member in incident.members.values())
        held = self.policy.reopen_window(incident.kind, incident.day_seconds) if incident.episodes > 1 else 0.0
        return self.now - good_since >= held

    def _repeat(self, incident: Incident) -> None:
        if incident.acknowledged_at is not None or not incident.failing or self._is_muted(incident):
            return
        if self.now - incident.told_at >= self.policy.repeat_pause(incident.repeats, incident.day_seconds):
            incident.repeats += 1
            self.changes.repeated.append(incident.id)
            self._tell(incident, "repeated", self._repetition(incident))

    def _repetition(self, incident: Incident) -> int:
        """Repetitions are counted over all episodes in the names of messages, so that no name comes twice."""
        number = incident.repeats
        while self.transaction.body_of(message_id(incident.id, "repeated", number)) is not None:
            number += 1
        return number

    def _tell(self, incident: Incident, event: Event, number: int) -> None:
        """File and topic hear everything; other channels nothing of what is muted, and no end without a beginning."""
        muted = self._is_muted(incident)
        channels = set(ALWAYS)
        if not muted:
            routed = self.policy.routed(incident.owners, incident.severity)
            known = self.transaction.told(incident.id)
            channels |= {name for name in routed if event == "opened" or name in known}
        incident.told_at = self.now
        body = document(incident, event, number, self.now, muted=muted)
        self.transaction.post(body, sorted(channels), self.now)

    def _tell_others(self, incident: Incident) -> None:
        """Who has become concerned by now, or was spared while it was muted, is notified of the opening."""
        if self._is_muted(incident):
            return
        missing = set(self.policy.routed(incident.owners, incident.severity)) - self.transaction.told(incident.id)
        if missing and incident.failing:
            body = document(incident, "opened", 1, self.now, muted=False)
            self.transaction.post(body, sorted(missing), self.now)

    def _is_muted(self, incident: Incident) -> bool:
        return self.transaction.is_muted(incident, self.now)
