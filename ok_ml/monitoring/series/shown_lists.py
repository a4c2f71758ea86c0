"""What the users of a simulated network are shown: the lists that the storage serves."""

from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.delivery.reading import Reader
from ok_ml.world.behaviour.exposure import ServedLists

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.config.models import Project
    from ok_ml.delivery.codec import Prediction
    from ok_ml.delivery.manifest import Answer

_BATCH: Final = 2_000
_PAD: Final = -1


def served_lists(reader: Reader, user_ids: "NDArray[np.int64]") -> ServedLists | None:
    """What the storage serves to these users now, the fallback list included; None while it serves nothing.

    A day is simulated from one look at the storage. If the generation changes between two batches, the look starts
    again, a bounded number of times; after that the day is drawn from both.

    Parameters
    ----------
    user_ids
        int64 [n], ascending.
    """
    for _attempt in range(3):
        answers = [reader.get_many(user_ids[at : at + _BATCH].tolist()) for at in range(0, len(user_ids), _BATCH)]
        known = [answer for answer in answers if answer is not None]
        if not known or len(known) < len(answers):
            return None
        if len({answer.manifest.generation for answer in known}) == 1:
            break
    lists = [_list_of(prediction, answer) for answer in known for prediction in answer.lists]
    padded = np.full((len(lists), max(map(len, lists))), _PAD, dtype=np.int64)
    for row, source_ids in zip(padded, lists, strict=True):
        row[: len(source_ids)] = source_ids
    return ServedLists(user_ids, padded, known[-1].manifest.name)


def _list_of(prediction: "Prediction | None", answer: "Answer") -> "NDArray[np.int64]":
    served = prediction or answer.fallback
    assert served is not None  # noqa: S101 - every generation of lists has a fallback
    return served.source_ids


def experiment_of(project: "Project", dataset: str) -> str | None:
    """Whose lists the users of a dataset see: its automatic experiment, else any; the first by name."""
    names = [name for name in sorted(project.experiments) if project.dataset_of(name).dataset == dataset]
    automatic = [name for name in names if project.experiments[name].release.cycle == "automatic"]
    return next(iter([*automatic, *names]), None)
