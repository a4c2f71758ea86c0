"""The channels of a deployment: file and topic always, the others where their address is known."""

import os

from ok_ml.config.models import Project
from ok_ml.config.sections.environment_models import AlertChannel, AlertsConfig
from ok_ml.incidents.apprise_channel import AppriseChannel
from ok_ml.incidents.channels import ALERTS_FILE, Channel, FileChannel
from ok_ml.incidents.topic_channel import TopicChannel


def known_addresses(config: AlertsConfig) -> tuple[AlertChannel, ...]:
    """Channels whose variable is set: the others are off, which `ok-ml doctor` says."""
    return tuple(one for one in config.channels if os.environ.get(one.url_env))


def channels_of(project: Project) -> list[Channel]:
    """Everything that messages can be delivered to now."""
    alerts = project.environment.alerts
    return [
        FileChannel(project.state_dir / ALERTS_FILE),
        TopicChannel(project.environment.kafka, alerts.topic, project.state_dir),
        *map(AppriseChannel, known_addresses(alerts)),
    ]
