"""The requests by which a server's answers are timed: rows of the holdout as JSON, without label.

A body is `{"instances": [{column: value, ...}]}`, the form that Vertex AI, KServe and TensorFlow Serving share; of a
ranking the rows of one group. The columns are those that the predict command reads, without `row_id`. Instants are
ISO 8601 in UTC; what JSON has no number for (NaN, infinite) is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ctc.steps import engine, holdouts
from ctc.steps.task import StepFailed
from ctc.steps.tasks import ROW_ID

OUTPUT = "requests"
"""The output of the snapshot, in specs whose server is timed."""

FILE = "requests.jsonl"

MOST = 200
"""Different requests at most, drawn by the MD5 of their row_id (of their group); they are sent in turns."""


def write(connection: Any, rows: Any, folder: Path, group: str | None) -> None:
    """Writes the bodies, one a line. StepFailed for a column that JSON cannot hold."""
    by = ROW_ID if group is None else group
    drawn = rows.select(_ctc_by=rows[by].cast("string")).distinct()
    ordered = drawn.order_by([holdouts.digest(drawn["_ctc_by"]), drawn["_ctc_by"]]).limit(MOST)
    chosen = rows.semi_join(ordered, rows[by].cast("string") == ordered["_ctc_by"])
    found = engine.fetched(connection, chosen.order_by(list(dict.fromkeys((by, ROW_ID)))))
    names = [name for name in found if name != ROW_ID]
    bodies: dict[Any, list[dict[str, Any]]] = {}
    for number, key in enumerate(found[by]):
        instance = {name: _plain(found[name][number], name) for name in names}
        bodies.setdefault(key, []).append(instance)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text("".join(_lines(bodies)), encoding="utf-8")


def _lines(bodies: Mapping[Any, list[dict[str, Any]]]) -> Iterable[str]:
    for instances in bodies.values():
        yield json.dumps({"instances": instances}, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"


def _plain(value: Any, column: str) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal() | float():
            return float(value) if math.isfinite(value) else None
        case datetime():
            instant = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return instant.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case list():
            return [_plain(item, column) for item in value]
        case dict():
            return {str(name): _plain(item, column) for name, item in value.items()}
    raise StepFailed(
        f"the latency gate sends rows as JSON, which has no place for the column `{column}` ({type(value).__name__}); "
        "drop it with `columns.drop`, or write it as a text"
    )
