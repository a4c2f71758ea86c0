"""What the materialiser measures of itself."""

import logging
from pathlib import Path
from typing import Any

from ok_ml import metrics
from ok_ml.delivery.loading import ExperimentLoader
from ok_ml.metric_files import HOLDS_SECONDS, about_process, write

logger = logging.getLogger(__name__)


class MaterialiserMetrics:
    """Numbers by experiment, written with each heartbeat: an old file shows that the loop has stopped.

    Parameters
    ----------
    state_dir
        Folder of all local state.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir, self._board = state_dir, metrics.Board(metrics.MATERIALISER)

    def take(self, loader: ExperimentLoader, status: dict[str, Any], records: int) -> None:
        """Take over what a heartbeat says, and how many records have come since the one before."""
        board, name = self._board, loader.experiment
        board.add(metrics.TAKEN, records, experiment=name)
        board.set(metrics.LAG, status["lag"], experiment=name)
        board.set(metrics.SET_ASIDE, loader.set_aside, experiment=name)
        board.set(metrics.MATERIALISER_BEAT, status["updated_at"], experiment=name)
        board.set(metrics.VERIFY_FAILURES, loader.refusal_count, experiment=name)
        board.set(metrics.SWITCHES, loader.switch_count, experiment=name)

    def write(self) -> None:
        """Leave the file; a full disk costs metrics, not the materialiser."""
        about_process(self._board)
        try:
            write(self._state_dir, metrics.MATERIALISER, self._board, holds_seconds=HOLDS_SECONDS)
        except OSError as error:
            logger.warning("the metrics of the materialiser cannot be written: %s", error)
