"""Text with a unit to base units: durations, latencies, rates, sizes, shares, money, instants.

Every function raises ValueError with one sentence for the user, which names the accepted forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from ctc.value import Value, frozen

LONGEST = timedelta(days=36525)
"""A century: whatever is longer is a slip of the hand, and date arithmetic would overflow."""

_SHORT = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]i?)?B?", re.ASCII)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_LATENCY = re.compile(r"(\d+(?:\.\d+)?)(ms|s)", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smhd])", re.ASCII)
_MONEY = re.compile(r"(\d+(?:\.\d{1,2})?)(?: ([A-Z]{3}))?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@frozen
class Money(Value):
    """An amount, and its ISO currency where the spec writes one beside it; else it is in `cost.currency`."""

    amount: float
    currency: str | None = None


def duration(text: str) -> timedelta:
    """`6h`, `14d`, `1h30m`, `0d`, or ISO 8601 (`P14D`, `PT6H`). Years and months have no fixed length."""
    match = _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError("this is not a duration; write one such as 30m, 6h, 14d, 2w, 1h30m or P14D")
    weeks, days, hours, minutes, seconds = (_number(group) for group in match.groups())
    total = ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + seconds
    if total > LONGEST.total_seconds():
        raise ValueError("this duration is longer than a century; write one such as 14d")
    return timedelta(seconds=total)


def size(text: str) -> int:
    """Bytes of `64Gi` (powers of 1024) or `200MB`, `200M` (powers of 1000)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("this is not a size; write one such as 512Mi, 64Gi or 200MB")
    number, unit = match.groups()
    base = 1024 if unit and unit.endswith("i") else 1000
    size_in_bytes = float(number) * base ** (_POWERS[unit[0]] if unit else 0)
    if not 1 <= size_in_bytes < 2**63:
        raise ValueError("this size is not between one byte and 8 EiB; write one such as 64Gi")
    return int(size_in_bytes)


def share(value: str | float) -> float:
    """The fraction of `5%` or 0.05; always within 0 and 1."""
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        if match is None:
            raise ValueError("this is not a share; write one such as 5% or 0.05")
        # Divided as decimal text: 97.5% is exactly what 0.975 is.
        whole, _, decimals = match[1].partition(".")
        fraction = float(f"{whole}{decimals}e-{len(decimals) + 2}")
    else:
        fraction = float(value)
    if not 0 <= fraction <= 1:
        raise ValueError("a share lies between 0 and 1, which is 0% and 100%")
    return fraction


def latency(text: str) -> float:
    """Seconds of `25ms` or `1.5s`."""
    match = _LATENCY.fullmatch(text)
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not 0 < seconds <= 3600:
        raise ValueError("this is not a latency of up to an hour; write one such as 25ms or 1.5s")
    return seconds


def rate(text: str) -> float:
    """Events a second of `200/s`, `30/m`, `5/h` or `1/d`."""
    match = _RATE.fullmatch(text)
    per_second = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if not 0 < per_second <= 1e9:
        raise ValueError("this is not a rate above 0; write one such as 200/s, 30/m or 5/d")
    return per_second


def money(value: str | float) -> Money:
    """`45`, `45.50` or `45 USD`; never negative."""
    if isinstance(value, str):
        match = _MONEY.fullmatch(value)
        if match is None or len(match[1]) > 15:
            raise ValueError("this is not an amount of money; write one such as 45, 45.50 or 45 USD")
        return Money(float(match[1]), match[2])
    if not 0 <= value < 1e15:
        raise ValueError("an amount of money is 0 or more; write one such as 45 or 45.50")
    return Money(float(value))


def instant(text: str) -> str:
    """An ISO date or instant, as it stands; one without an offset means UTC."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("this is not an instant; write one such as 2024-01-01 or 2024-01-01T06:00:00Z") from None
    return text


READERS: dict[str, Callable[..., object]] = {
    "duration": duration,
    "latency": latency,
    "rate": rate,
    "size": size,
    "share": share,
    "money": money,
    "instant": instant,
}
"""The readers by the name that the schema's `x-unit` gives them."""


def _number(digits: str | None) -> int:
    if digits is None:
        return 0
    # Far beyond any duration, and Python refuses to convert thousands of digits.
    return int(digits) if len(digits) <= 15 else 10**15
