"""Which keys a share draws: the same ones for ever, on every engine, whatever other rows there are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

BETWEEN = "\x1f"
"""Stands between the salt and the parts of a key."""

MISSING = "\\N"
"""The text of a part of a key that has no value."""

VALIDATION = "ctc validation"
"""The salt of the draw of validation rows, where there is no time to take the latest by."""


def below(share: float) -> int:
    """The number below which a hash is drawn, for a share in [0, 1]: exactly that share of all 64-bit numbers."""
    return math.floor(Fraction(share) * 2**64)


def drawn(salt: str, key: Sequence[str], share: float) -> bool:
    """Whether a key is drawn: the last eight bytes, little-endian, of the MD5 of salt and key, as UTF-8, are below."""
    digest = hashlib.md5(BETWEEN.join([salt, *key]).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") < below(share)
