"""How many requests a latency gate sends, hence how long it takes."""

from __future__ import annotations

import math

RATE = 10.0
"""Requests a second, where a gate does not say."""

LEAST = 400
"""Requests of one measurement at least: the upper bound of the 99th percentile at 97.5 % needs 368 answers."""

MOST = 1000
"""Requests of one measurement where `SECONDS` are enough for them."""

SECONDS = 60.0
"""How long the requests of a measurement last at most, if `LEAST` of them need no more."""


def requests(rate: float) -> int:
    """How many requests are measured at `rate` requests a second."""
    return max(LEAST, min(MOST, math.floor(rate * SECONDS)))
