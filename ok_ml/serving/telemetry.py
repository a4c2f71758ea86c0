"""What the service measures of itself, and the one address at which the metrics of all processes are read."""

import os
from functools import cached_property
from typing import Final

from ok_ml import metrics
from ok_ml.columns import EVENTS
from ok_ml.config.models import Project
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.heartbeat import Life, life
from ok_ml.lake import Lake
from ok_ml.metric_files import HOLDS_SECONDS, WORKER_PREFIX, Exporter, about_process, texts_of_others, write
from ok_ml.partitions import end_seconds
from ok_ml.serving.problems import Problem
from ok_ml.serving.readers import Readers, answered

PREDICTIONS: Final = "/v1/predictions/"
_START: Final = len(PREDICTIONS)
_ROUTES: Final = {"/": "page", "/health": "health", "/health.json": "health", "/livez": "health", "/deadman": "health"}
_SERVED: Final = (
    metrics.SERVED_GENERATION, metrics.SERVED_MODEL, metrics.SERVED_PREDICTIONS, metrics.SERVED_DATA, metrics.SERVED_BEHIND,
    metrics.OPEN_READERS,
)  # fmt: skip


class Telemetry:
    """Metrics of one worker. Making one does nothing; everything is made in the process that answers.

    With several workers each leaves its numbers in a file, at every scrape that it answers and every two seconds: whoever is
    asked next reads at least what was reported before, so no counter ever goes back.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._workers = project.environment.service.workers
        self._histograms: dict[tuple[str, str, int], metrics.Histogram] = {}

    @cached_property
    def board(self) -> metrics.Board:
        """The numbers of this worker."""
        return metrics.Board(metrics.SERVICE, worker=str(os.getpid()))

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Take the time of one answer. On the hot path of every lookup: one string cut, one look-up, one count."""
        if path.startswith(PREDICTIONS):
            experiment, slash, _ = path[_START:].partition("/")
            key = (experiment, slash, status)
        else:
            key = ("", path, status)
        known = self._histograms.get(key)
        if known is None:
            known = self._histogram(*key)
        known.take(seconds)

    def _histogram(self, experiment: str, path: str, status: int) -> metrics.Histogram:
        """That of a kind of request; only what is configured gets a label, so that callers cannot make them many."""
        if experiment not in self.project.experiments:
            experiment, path = "", "" if experiment else path
        if experiment:
            route = "one" if path else "batch"
        else:
            route = _ROUTES.get(path, "plot" if path.startswith("/plots/") else "other")
        made = self.board.histogram(metrics.REQUEST_SECONDS, route=route, experiment=experiment, status=str(status))
        if experiment or path in _ROUTES:
            self._histograms[experiment, path, status] = made
        return made

    # -- reading -------------------------------------------------------------------------------------------------

    def scrape(self, readers: Readers) -> bytes:
        """Everything that is measured anywhere, as Prometheus reads it. May wait for the storage."""
        self.fill(readers)
        for name, config in self.project.experiments.items():
            self.board.set(metrics.SERVED_LIMIT, 3600.0 * config.freshness.predictions_hours, experiment=name)
        self._about_served(readers)
        about_process(self.board)
        self.board.set(metrics.UP, 1.0)
        state = self.life()
        if state.beat is not None:
            self.board.set(metrics.HEARTBEAT, state.beat.at)
        self.board.set(metrics.HEARTBEAT_LIMIT, state.limit_seconds)
        if self._workers > 1:
            write(self.project.state_dir, self._file, self.board, process=metrics.SERVICE, holds_seconds=HOLDS_SECONDS)
        return metrics.merged([self.board.text(), *texts_of_others(self.project.state_dir, self._file)]).encode()

    def fill(self, readers: Readers) -> None:
        """Take over what the readers counted."""
        for name, tally in readers.tallies.items():
            self.board.set(metrics.LOOKUPS, tally.lookups, experiment=name)
            self.board.set(metrics.FALLBACKS, tally.fallbacks, experiment=name)

    def exporter(self, readers: Readers) -> Exporter | None:
        """What leaves this worker's numbers for the others; None if it is the only one."""
        if self._workers == 1:
            return None
        return Exporter(
            self.project.state_dir, self._file, self.board, process=metrics.SERVICE, fill=lambda: self.fill(readers)
        )

    def life(self) -> Life:
        """Whether the heartbeat is there."""
        return life(self.project.state_dir, self.project.environment.heartbeat.limit_seconds)

    @property
    def _file(self) -> str:
        return f"{WORKER_PREFIX}{os.getpid()}"

    def _about_served(self, readers: Readers) -> None:
        self.board.forget(*_SERVED)
        for name in self.project.experiments:
            try:
                manifest = answered(readers.reader(name).describe)
            except Problem:
                continue  # what is not known is not reported: the alert is on its absence
            self.board.set(metrics.OPEN_READERS, readers.open_readers(name), experiment=name)
            if manifest is not None:
                self._about_generation(name, manifest)

    def _about_generation(self, name: str, manifest: GenerationManifest) -> None:
        self.board.set(metrics.SERVED_GENERATION, manifest.sealed_at, experiment=name)
        self.board.set(metrics.SERVED_MODEL, manifest.model_version, experiment=name)
        self.board.set(metrics.SERVED_PREDICTIONS, manifest.predictions, experiment=name)
        dataset, data_dt = self.project.dataset_of(name), manifest.details.get("data_dt")
        if data_dt is None:
            return
        end = end_seconds(data_dt, dataset.partition.grain)
        self.board.set(metrics.SERVED_DATA, end, experiment=name)
        days = Lake(self.project.lake_root).partitions(dataset.dataset, EVENTS)
        if days:
            behind = end_seconds(days[-1], dataset.partition.grain) - end
            self.board.set(metrics.SERVED_BEHIND, max(behind, 0.0), experiment=name)
