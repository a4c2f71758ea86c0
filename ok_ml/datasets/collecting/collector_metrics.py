"""What a collector measures of itself, from the status that it writes."""

import logging
from pathlib import Path
from typing import Any

from ok_ml import metrics
from ok_ml.metric_files import HOLDS_SECONDS, about_process, write

logger = logging.getLogger(__name__)


class CollectorMetrics:
    """Numbers of one dataset's collector.

    Parameters
    ----------
    state_dir
        Folder of all local state.
    """

    def __init__(self, state_dir: Path, dataset: str) -> None:
        self._state_dir, self._dataset = state_dir, dataset
        self._name = f"{metrics.COLLECTOR}-{dataset}"
        self._board = metrics.Board(self._name)

    def take(self, status: dict[str, Any]) -> None:
        """Take over a status, see `ok_ml.datasets.collecting.collector_status.describe`, and leave the file."""
        board, dataset = self._board, self._dataset
        board.set(metrics.COLLECTOR_LAG, status["lag"], dataset=dataset)
        board.set(metrics.COLLECTED, status["messages"], dataset=dataset)
        board.set(metrics.COLLECTOR_LOST, status["lost"], dataset=dataset)
        board.set(metrics.COLLECTED_DAYS, status["days_committed"], dataset=dataset)
        for reason, count in status["set_aside"].items():
            board.set(metrics.COLLECTOR_ASIDE, count, dataset=dataset, reason=reason)
        about_process(board)
        try:
            write(self._state_dir, self._name, board, holds_seconds=HOLDS_SECONDS)
        except OSError as error:
            logger.warning("the metrics of the collector cannot be written: %s", error)
