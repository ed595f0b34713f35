"""Rows whose values another row has, too."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np

from ctc.steps import engine

IN_MEMORY = 1 << 24
"""Hashes that are sorted in memory: 128 MB. Of more rows the engine counts the values themselves."""


def counted(connection: Any, table: Any, columns: list[str]) -> dict[str, int]:
    """The `rows` of a table, and how many are `distinct` in the columns; a missing value is one value.

    Rows whose hashes all differ are distinct, and hashes are cheap to sort. Only where two are equal are the values
    counted.
    """
    query = connection.compile(table.select(*columns))
    rows = int(engine.row(connection, f"SELECT count(*) FROM ({query})")[0])
    if rows <= IN_MEMORY and _hashes_differ(connection, query, columns, rows):
        return {"rows": rows, "distinct": rows}
    if len(columns) == 1:
        # The engine's own count leaves NULL out.
        column = table[columns[0]]
        distinct = column.nunique() + column.isnull().any().cast("int64").fill_null(0)
    else:
        distinct = ibis.struct({f"c{number}": table[name] for number, name in enumerate(columns)}).nunique()
    return {"rows": rows, "distinct": int(engine.one(connection, table.aggregate(n=distinct))["n"])}


def _hashes_differ(connection: Any, query: str, columns: list[str], rows: int) -> bool:
    room = np.empty((1, rows), dtype=np.uint64)
    engine.fill(connection, f"SELECT hash({', '.join(map(engine.quoted, columns))}) FROM ({query})", room)
    hashes = room[0]
    hashes.sort()
    return not bool((hashes[1:] == hashes[:-1]).any())
