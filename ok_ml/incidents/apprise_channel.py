"""Channels of people: Slack, Mattermost, Telegram, mail, VK and whatever else Apprise knows.

At least once: that sending begins is noted before, that it was taken after, so a process that is killed in between
sends one message twice, with the same id, and none never.
"""

import logging
import os
from typing import Any, Final

from ok_ml.config.sections.environment_models import AlertChannel
from ok_ml.errors import ServiceUnavailable
from ok_ml.incidents.records import Message
from ok_ml.incidents.store import Store

_CLAIM_SECONDS: Final = 60.0  # longer than any attempt: who comes after a crash must not meet the one that lives
_MOST_CONSEQUENCES: Final = 5


class AppriseChannel:
    """See `ok_ml.incidents.channels.Channel`."""

    most = 1

    def __init__(self, config: AlertChannel) -> None:
        self.name, self.config = config.name, config

    def deliver(self, store: Store, messages: list[Message], now: float) -> None:
        """See `Channel`. Raises ServiceUnavailable if it was not taken."""
        for message in messages:
            with store.writing() as transaction:
                transaction.begin([message], now + _CLAIM_SECONDS)
            self._send(message.body)
            with store.writing() as transaction:
                transaction.sent([message], now)

    def _send(self, body: dict[str, Any]) -> None:
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings show addresses, which are secrets
        kinds = {"error": apprise.NotifyType.FAILURE, "warn": apprise.NotifyType.WARNING}
        kind = apprise.NotifyType.SUCCESS if body["event"] == "closed" else kinds[body["severity"]]
        target = apprise.Apprise()
        if not target.add(os.environ.get(self.config.url_env, "")):
            raise self._refused(f"{self.config.url_env} holds no address that Apprise knows")
        # It raises nothing and returns something false, also where the target is dead.
        if not target.notify(body=text_of(body), title=title_of(body), notify_type=kind):
            raise self._refused("the message was not taken")

    def _refused(self, problem: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"alerts channel {self.name}: {problem}",
            why="whoever reads only this channel hears nothing; file and topic have every message",
            remedy=f"check the address in {self.config.url_env}; it is tried again meanwhile",
        )


def title_of(body: dict[str, Any]) -> str:
    """One line: what happened to which incident."""
    grade = "" if body["event"] == "closed" else f"{body['severity']}, "
    return f"[{grade}{body['event']}] {body['title']}"


def text_of(body: dict[str, Any]) -> str:
    """Everything that whoever is woken by it needs, the id of the message last."""
    consequences = [one["title"] for one in body["consequences"] if not one["passed"] or body["event"] == "closed"]
    more = len(consequences) - _MOST_CONSEQUENCES
    lines = [body["detail"], *(f"- {title}" for title in consequences[:_MOST_CONSEQUENCES])]
    lines += [f"- and {more} more"] if more > 0 else []
    lines += [f"owner: {', '.join(body['owners'])}"] if body["owners"] else []
    lines += [f"since: {body['opened_at']}"]
    lines += [f"look: {body['link']}"] if body["link"] else []
    lines += [f"taken over by: {body['acknowledged_by']}"] if body["acknowledged_by"] else []
    if body["event"] != "closed":
        lines.append(f"take it over: ok-ml incidents ack {body['incident']}")
    return "\n".join([*lines, f"id: {body['id']}"])
