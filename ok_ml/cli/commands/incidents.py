"""`ok-ml incidents`: what is wrong now, and who has acknowledged it."""

import time
from datetime import datetime
from typing import TYPE_CHECKING

import rich_click as click

from ok_ml.cli.context import EXAMPLES, Settings, command
from ok_ml.cli.output import cut, say, terminal_width, write_json, write_line, write_table
from ok_ml.machine.current_user import name_of_user

if TYPE_CHECKING:
    from ok_ml.incidents.records import Incident
    from ok_ml.incidents.store import Store

_STALE = 5  # as `ok-ml status`: something is wrong and not acknowledged
_FIXED_COLUMNS = 66  # everything beside title and owner
_CLOSED_SHOWN = 50

_HELP = f"""See what is wrong now, take it over, or silence it for a while.

An incident opens when a check fails, an asset becomes stale, a run fails or a process crashes, and closes when all of it is healthy again. All print JSON with --json.

\b
{EXAMPLES}
  ok-ml incidents list
  ok-ml incidents ack 20261123-101500-123-9f3c
  ok-ml incidents mute 9f3c --until 18:00
"""


@click.group("incidents", help=_HELP)
def incidents() -> None:
    """Hold the commands together."""


@command("list", examples=["ok-ml incidents list", "ok-ml incidents list --all --json"])
@click.option("--all", "everything", is_flag=True, help="The newest closed ones too.")
@click.pass_context
def list_(ctx: click.Context, settings: Settings, *, everything: bool, as_json: bool) -> None:
    """List open incidents, oldest first.

    Exit code 5 if one of severity error is open and neither acknowledged nor muted.
    """
    from ok_ml.incidents.shown import needs_attention, to_json

    store, now = _store(settings), time.time()
    with store.reading() as transaction:
        incidents = transaction.latest(_CLOSED_SHOWN)[::-1] if everything else transaction.open_incidents()
        muted = {one.id: transaction.is_muted(one, now) for one in incidents}
    if as_json:
        write_json([to_json(one, muted=muted[one.id]) for one in incidents])
    elif incidents:
        _table(incidents, muted, now)
    else:
        say("Nothing is open.")
    ctx.exit(_STALE if any(needs_attention(one, muted=muted[one.id]) for one in incidents) else 0)


def _table(incidents: "list[Incident]", muted: dict[str, bool], now: float) -> None:
    from ok_ml.console.health import in_words
    from ok_ml.incidents.shown import state_of

    owners = max(len(one.owner or "-") for one in incidents)
    width = max(terminal_width() - _FIXED_COLUMNS - owners, 24)
    rows = [
        [
            "fail" if one.severity == "error" else "warn",
            one.id,
            state_of(one, muted=muted[one.id]),
            in_words(max(0.0, now - one.opened_at)),
            len(one.consequences),
            cut(one.title, width),
            one.owner,
        ]
        for one in incidents
    ]
    headers = ["grade", "id", "state", "since", "more", "what", "owner"]
    write_table(headers, rows, right=["since", "more"], style_of="grade")


@command("show", examples=["ok-ml incidents show 20261123-101500-123-9f3c", "ok-ml incidents show 9f3c --json"])
@click.argument("incident")
def show(settings: Settings, *, incident: str, as_json: bool) -> None:
    """Show one incident with everything that follows from it.

    INCIDENT is its id, or the beginning or end of it.
    """
    from ok_ml.incidents.shown import the_one, to_json

    with _store(settings).reading() as transaction:
        one = the_one(transaction, incident)
        muted = transaction.is_muted(one, time.time())
    document = to_json(one, muted=muted)
    if as_json:
        write_json(document)
        return
    for name in (
        "id",
        "state",
        "severity",
        "title",
        "owner",
        "link",
        "opened_at",
        "last_seen_at",
        "closed_at",
        "acknowledged_by",
        "muted_until",
        "repeats",
        "episodes",
    ):
        if document[name] not in (None, 0):
            write_line(f"{name.replace('_', ' '):<16}{document[name]}")
    write_line("\n" + document["detail"])
    for one in document["consequences"]:
        state = f"good since {one['passed_at']}" if one["passed_at"] else "still wrong"
        write_line(f"\n- {one['title']} ({state})\n  {one['detail'].splitlines()[0] if one['detail'] else ''}")


@command("ack", examples=["ok-ml incidents ack 9f3c", "ok-ml incidents ack 9f3c --by anna"])
@click.argument("incident")
@click.option("--by", metavar="NAME", help="Who acknowledges it; default: this user.")
def ack(settings: Settings, *, incident: str, by: str | None, as_json: bool) -> None:
    """Acknowledge an incident: its messages are not repeated any more."""
    from ok_ml.incidents.shown import the_one, to_json

    with _store(settings).writing() as transaction:
        chosen = the_one(transaction, incident)
        chosen.acknowledged_by, chosen.acknowledged_at = by or name_of_user(), time.time()
        transaction.save(chosen)
        muted = transaction.is_muted(chosen, time.time())
    if as_json:
        write_json(to_json(chosen, muted=muted))
    else:
        write_line(f"{chosen.id} is looked after by {chosen.acknowledged_by}: {chosen.title}")


@command(
    "mute",
    examples=[
        "ok-ml incidents mute 9f3c --until 18:00",
        "ok-ml incidents mute 'check:prod_discovery/*' --until 2h",
    ],
)
@click.argument("what")
@click.option("--until", metavar="TIME", required=True, help="30m, 2h, 3d, 18:00, 2026-11-24 or 2026-11-24T09:00.")
def mute(settings: Settings, *, what: str, until: str, as_json: bool) -> None:
    """Send no messages about WHAT until a time: an incident's id, or a key with * for anything.

    It is still recorded here, in the file and in the topic.
    """
    from ok_ml.cli.parse_time import moment
    from ok_ml.incidents.records import iso
    from ok_ml.incidents.shown import the_one

    end = moment(until, datetime.now().astimezone())
    with _store(settings).writing() as transaction:
        if ":" in what:
            transaction.mute_key(what, end.timestamp())
        else:
            chosen = the_one(transaction, what)
            what, chosen.muted_until = chosen.id, end.timestamp()
            transaction.save(chosen)
    if as_json:
        write_json({"muted": what, "until": iso(end.timestamp())})
    else:
        write_line(f"{what} is muted until {end:%Y-%m-%d %H:%M}")


@command("unmute", examples=["ok-ml incidents unmute 9f3c", "ok-ml incidents unmute 'check:prod_discovery/*'"])
@click.argument("what")
def unmute(settings: Settings, *, what: str, as_json: bool) -> None:
    """Send messages about WHAT again: an incident's id, or a key as it was muted."""
    from ok_ml.errors import UsageError
    from ok_ml.incidents.shown import the_one

    with _store(settings).writing() as transaction:
        if ":" in what:
            if not transaction.unmute_key(what):
                known = ", ".join(sorted(transaction.mutes(time.time()))) or "none"
                raise UsageError(f"{what!r} is not muted (muted keys: {known})")
        else:
            chosen = the_one(transaction, what)
            what, chosen.muted_until = chosen.id, None
            transaction.save(chosen)
    if as_json:
        write_json({"unmuted": what})
    else:
        write_line(f"{what} is not muted any more")


def _store(settings: Settings) -> "Store":
    from ok_ml.incidents.store import Store

    return Store.of(settings.project().state_dir)


for _one in (list_, show, ack, mute, unmute):
    incidents.add_command(_one)
