"""Durations, sizes, shares and instants; and that the schema's patterns, which editors use, agree with the readers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.language import units
from ctc.language.shape import schema


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0d", timedelta(0)),
        ("90m", timedelta(minutes=90)),
        ("6h", timedelta(hours=6)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(days=14)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1d12h30m10s", timedelta(days=1, hours=12, minutes=30, seconds=10)),
        ("P14D", timedelta(days=14)),
        ("PT6H", timedelta(hours=6)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("P2W", timedelta(days=14)),
    ],
)
def test_durations(text: str, value: timedelta) -> None:
    assert units.duration(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "6",
        "h",
        "6 h",
        "1.5h",
        "-6h",
        "6H",
        "30m1h",
        "P1M",
        "P1Y",
        "6h\n",
        "٦h",
        "9" * 5000 + "d",
    ],
)
def test_what_is_no_duration_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as"):
        units.duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64Gi", 64 * 2**30),
        ("64GiB", 64 * 2**30),
        ("200MB", 200 * 10**6),
        ("200M", 200 * 10**6),
        ("1.5Ki", 1536),
        ("7", 7),
        ("7B", 7),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert units.size(text) == value


@pytest.mark.parametrize("text", ["", "0", "Gi", "64 Gi", "64gi", "-1Gi", "1e3", "9999999Pi", "9" * 5000])
def test_what_is_no_size_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as"):
        units.size(text)


@pytest.mark.parametrize(
    ("value", "fraction"),
    [("5%", 0.05), ("97.5%", 0.975), ("0.1%", 0.001), ("100%", 1.0), ("0%", 0.0), (0.05, 0.05), (1, 1.0), (0, 0.0)],
)
def test_shares_are_exactly_the_fraction_as_written(value: str | float, fraction: float) -> None:
    assert units.share(value) == fraction


@pytest.mark.parametrize("value", ["101%", 1.01, -0.1, "5", "%", "-5%", "5 %", float("nan")])
def test_what_is_no_share_is_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="share"):
        units.share(value)


def test_instants() -> None:
    assert units.instant("2024-01-01") == "2024-01-01"
    assert units.instant("2024-01-01T06:00:00Z") == "2024-01-01T06:00:00Z"
    for text in ("2024-13-01", "yesterday", "2024-02-30T00:00:00Z", ""):
        with pytest.raises(ValueError, match="write one such as"):
            units.instant(text)


@pytest.mark.parametrize("unit", ["duration", "size"])
@given(text=st.text(alphabet="0123456789wdhmsPTWDHMSKGiB. ", max_size=8))
def test_an_editor_says_what_the_reader_says(unit: str, text: str) -> None:
    """The pattern may let a number through that is too large or too small, and nothing else."""
    pattern = schema()["$defs"][unit]["pattern"]
    matches = re.search(pattern, text, re.ASCII) is not None and not text.endswith("\n")
    try:
        units.READERS[unit](text)
    except ValueError:
        beyond = not text or text[-1] in "PT" or any(group for group in re.findall(r"\d+", text))
        assert not matches or beyond
    else:
        assert matches
