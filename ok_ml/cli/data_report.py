"""What `ok-ml data check` prints of an audit."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from ok_ml import columns as c

if TYPE_CHECKING:
    from ok_ml.datasets.onboarding.audit.checking import Audit
    from ok_ml.datasets.onboarding.audit.verdict import Finding

_SHOWN_EXAMPLE = 120
_SHOWN_NAME = 40


def audit_document(audit: "Audit", problems: "list[Finding]") -> dict[str, Any]:
    """An audit as JSON; ids are text, since int64 beyond 2^53 breaks clients."""
    from ok_ml.datasets.onboarding.audit.verdict import STOP, verdict
    from ok_ml.datasets.onboarding.histories import Histories

    document = asdict(replace(audit, histories=Histories()))
    del document["histories"]
    document["partial"] = None if audit.partial is None else str(audit.partial)
    if audit.largest_user is not None:
        user, count = audit.largest_user
        document["largest_user"] = {"user_id": str(user), "events": count, "share": round(count / audit.events, 4)}
    if audit.largest_source is not None:
        source, count = audit.largest_source
        document["largest_source"] = {
            "source_id": str(source),
            "events": count,
            "share": round(count / audit.events, 4),
        }
    a_day = sorted(audit.partitions.values())
    document["rows_a_partition"] = {"min": a_day[0], "median": median(a_day), "max": a_day[-1]} if a_day else None
    document["findings"] = [asdict(finding) for finding in problems]
    document["works"] = all(finding.level != STOP for finding in problems)
    return {**document, "verdict": verdict(audit, problems)}


def audit_lines(audit: "Audit", problems: "list[Finding]") -> Iterator[str]:
    """An audit for a person, a line a fact."""
    aside = sum(audit.set_aside.values())
    yield f"rows       {audit.raw_rows:,} read, {audit.events:,} events, {aside:,} set aside"
    for reason, count in audit.set_aside.items():
        yield f"             {reason} {count:,}, e.g. {audit.examples.get(reason, '')[:_SHOWN_EXAMPLE]}"
    yield from _calendar(audit)
    back = f"{'about ' * (audit.histories.divisor > 1)}{audit.come_back:,} on more than one {audit.grain}"
    yield f"users      {audit.users:,}, {back}, {audit.once['users']:,} with a single event{_largest(audit, c.USER_ID)}"
    yield f"sources    {audit.sources:,}, {audit.once['sources']:,} with a single event{_largest(audit, c.SOURCE_ID)}"
    yield f"types      {', '.join(f'{name} {count:,}' for name, count in audit.event_types.items()) or 'none'}"
    yield f"duplicates {audit.duplicates:,} events equal to another one in everything"
    if audit.reactions:
        yield f"reactions  on {audit.reactions:,} posts, {audit.without_impression:,} of them never shown"
    for name, counts in audit.tables.items():
        more = f", {counts['without_event']:,} in no event" if "without_event" in counts else ""
        yield f"{name:<10} {counts['rows']:,} rows of a table of their own, {counts['set_aside']:,} set aside{more}"
    for finding in problems:
        yield f"{finding.level:<10} {finding.text}"
        yield f"             {finding.remedy}"


def _calendar(audit: "Audit") -> Iterator[str]:
    if not audit.partitions:
        yield "days       none"
        return
    dts, counts = list(audit.partitions), sorted(audit.partitions.values())
    gaps = f", {len(audit.gaps)} missing between them" if audit.gaps else ", none missing"
    yield f"{audit.grain + 's':<10} {len(dts):,}, {dts[0]} to {dts[-1]}{gaps}; {audit.first_time} to {audit.last_time}"
    yield f"a {audit.grain:<8} events min {counts[0]:,}, median {median(counts):,.0f}, max {counts[-1]:,}"


def _largest(audit: "Audit", column: str) -> str:
    largest = audit.largest_user if column == c.USER_ID else audit.largest_source
    if largest is None:
        return ""
    return f"; the largest one, {audit.names[column][:_SHOWN_NAME]}, has {largest[1] / audit.events:.1%} of the events"
