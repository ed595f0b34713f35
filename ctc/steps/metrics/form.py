"""The two forms that a metric is computed in, and that make resampling it cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """A function of sums over the rows. `parts` is (p, n), or (n,) for one; `finish` makes of the p sums a value.

    NaN where it has none, which is then what `undefined` says.
    """

    parts: Floats
    finish: Callable[[Floats], float]
    undefined: str = ""


@dataclass(frozen=True)
class Counted:
    """A function of how often each row counts, (n,); NaN where it has no value, which is then what `undefined` says."""

    of: Callable[[Indices], float]
    n: int
    undefined: str = ""


Form = Sums | Counted


def mean(per_row: Floats) -> Sums:
    """The mean over the rows."""
    return Sums(np.vstack([per_row, np.ones(len(per_row))]), lambda sums: float(sums[0] / sums[1]))


def ratio(above: float, below: float) -> float:
    """NaN where `below` is 0."""
    return float(above / below) if below else float("nan")
