"""Hundreds of specs on the processors that there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")

FEW = 60
"""Below so many, starting processes takes longer than they save."""

_MOST = 8


def in_parallel(function: Callable[[One], Other], items: Sequence[One], few: int = FEW) -> list[Other]:
    """The function of each item, in their order. The function must be a module's own, and pure."""
    count = min(_processors(), _MOST)
    if len(items) < few or count < 2:
        return [function(item) for item in items]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Forked, the processes have all modules already; what is imported only later would be imported in each.
    with ProcessPoolExecutor(count, get_context("fork")) as pool:
        return list(pool.map(function, items, chunksize=max(len(items) // (count * 4), 1)))


def _processors() -> int:
    """Those that this process may use; 1 where processes cannot be forked safely."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
