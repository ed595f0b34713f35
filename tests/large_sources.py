"""Sources of any size for the data steps, as Parquet that does not compress, the same at every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from step_tables import DAY, START

NUMBERS, PRICES = [f"x{column}" for column in range(10)], [f"f{column}" for column in range(6)]
"""The columns of numbers of `main` and of `prices`, uniform in [0, 1]."""

UPDATES = 15
"""Prices of a shop in 46 days."""


def make(folder: Path, sql: Callable[[str], Any], rows: int, shops: int) -> None:
    """Orders, prices of their shops over time, and labels: each known up to 2.2 days later, some corrected later on."""
    numbers = ", ".join(f"{uniform(10 + column)} AS x{column}" for column in range(len(NUMBERS)))
    prices = ", ".join(f"{uniform(30 + column)} AS f{column}" for column in range(len(PRICES)))
    key = "printf('%016x%016x', hash(i * 64), hash(i * 64 + 63))"
    placed, rare = later(46, 1), f"{uniform(5)} < 0.1 + 0.3 * {uniform(10)}"
    tables = {
        "main": (
            rows,
            f"""SELECT {key} AS id, (hash(i * 64 + 2) % {shops})::BIGINT AS shop,
                    (hash(i * 64 + 3) % 3)::INTEGER AS tier, 'r' || (hash(i * 64 + 9) % 7) AS region,
                    {placed} AS placed, {numbers} FROM number""",
        ),
        "prices": (shops * UPDATES, f"SELECT i % {shops} AS shop, {later(46, 4)} AS known, {prices} FROM number"),
        "labels": (
            rows,
            f"""SELECT {key} AS id, {placed} + {after(2.2, 6)} AS known, ({rare})::BIGINT AS y FROM number
                UNION ALL
                SELECT {key}, {placed} + {after(4, 7)}, ({uniform(8)} < 0.5)::BIGINT FROM number WHERE i % 10 = 0""",
        ),
    }
    for name, (size, query) in tables.items():
        (folder / name).mkdir(parents=True)
        for part in range(4):
            number = f"WITH number AS (SELECT range AS i FROM range({size * part // 4}, {size * (part + 1) // 4})) "
            sql(f"COPY ({number}{query}) TO '{folder}/{name}/{part}.parquet' (FORMAT parquet)")


def uniform(salt: int) -> str:
    """A number of [0, 1] by the row's number `i`, the same on any number of threads."""
    return f"(hash(i * 64 + {salt}) / 18446744073709551616.0)"


def after(days: float, salt: int) -> str:
    return f"to_microseconds(({uniform(salt)} * {days * DAY * 1e6})::BIGINT)"


def later(days: float, salt: int) -> str:
    return f"TIMESTAMPTZ '{START}' + {after(days, salt)}"
