"""Work on a few threads, for what lets go of the interpreter: parsing, compressing, waiting for the disk."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
_THREADS: Final = min(4, os.cpu_count() or 1)


def in_order(work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """What `work` makes of each item, in the order of the items; no more than four of them are under way.

    The first error ends it; items that are under way are finished, later ones are not begun.
    """
    pending: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for item in given:
            pending.append(pool.submit(work, item))
            if len(pending) >= _THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
