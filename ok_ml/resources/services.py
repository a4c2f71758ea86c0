"""Broker and materialiser for as long as a run needs them: those that answer, else children of this process."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ok_ml.config.models import Project
from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.local.broker.embedded_broker import ensure_broker
from ok_ml.local.services.materialiser_process import ensure_materialiser


@contextmanager
def ensure_services(project: Project) -> Iterator[None]:
    """Within the block broker and materialiser are at work; what was started here ends with it.

    Raises
    ------
    EnvironmentFault
        Java or Kafka's jars are missing, or the port is taken by something else.
    ServiceUnavailable
        A service does not start; says the end of its log.
    """
    with ExitStack() as stack:
        stack.enter_context(ensure_broker(project.environment.kafka, project.state_dir))
        stack.enter_context(ensure_materialiser(DeliverySettings.of(project)))
        yield
