"""What past runs tell of durations and of how often there are any: from the files of their records.

A step's `seconds` are in its record, where whoever keeps it puts them; and `ctc run` leaves those of the user's steps
below the same state folder, in `attempts/ID/status/STEP.json`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ctc.cost.durations import Recorded
from ctc.diagnostics import CtcError
from ctc.language.spec import Spec

Record = Mapping[str, Any]

_LONGEST = 1e9
"""Seconds, thirty years: whatever is longer was not measured."""

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
"""What `schemas/record.v1.schema.json` takes."""


def read_files(path: Path) -> tuple[Record, ...]:
    """The records in a file, or in all JSON files below a folder, each once. What is no record is passed over there.

    CtcError where there is nothing of that name, and where a file that is named holds none.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.json"))
        documents = [document for file in files if (document := _document(file)) is not None]
    elif path.is_file():
        document = _document(path)
        if document is None:
            raise CtcError(f"{path} is no record of a run", "give a file such as .ctc/NAME/ENV/TARGET/records/ID.json")
        documents = [document]
    else:
        raise CtcError(f"there is no {path}", "give the folder of the records, such as .ctc, or one of them")
    return tuple({str(document["id"]): document for document in documents}.values())


def recorded_of(spec: Spec, target: str, records: Iterable[Record]) -> Recorded:
    """Those of one deployment. A step that did not end well says nothing of how long it takes."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    attempts = []
    wanted = (spec.model_name, spec.environment, target)
    for record in records:
        if (record.get("name"), record.get("environment"), record.get("target")) != wanted:
            continue
        if record["kind"] == "attempt":
            attempts.append(_instant(str(record["instant"])))
        kind = "train" if record["kind"] == "attempt" else f"score-{record.get('serving', '')}"
        for step, took in _took(record):
            seconds[kind, step].append(took)
    return Recorded(
        {key: tuple(sorted(values)) for key, values in sorted(seconds.items())}, tuple(sorted(filter(None, attempts)))
    )


def _took(record: Record) -> Iterator[tuple[str, float]]:
    steps = record.get("steps")
    for name, said in steps.items() if isinstance(steps, Mapping) else ():
        took = said.get("seconds") if isinstance(said, Mapping) and said.get("status") == "ok" else None
        if isinstance(took, int | float) and not isinstance(took, bool) and 0 < took < _LONGEST:
            yield str(name), float(took)


def _document(file: Path) -> Record | None:
    """None for what is no record of something that ran. A crash can leave half a file."""
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        return None
    if not isinstance(document, dict) or not {"id", "kind", "instant"} <= document.keys():
        return None
    if not _ID.fullmatch(str(document["id"])):
        return None
    return _with_measured(document, file) if document["kind"] in ("attempt", "score") else None


def _with_measured(record: Record, file: Path) -> Record:
    """The record with what was measured beside it; what it says itself stands."""
    steps = record.get("steps")
    if not isinstance(steps, Mapping):
        return record
    status = file.parent.parent / "attempts" / str(record["id"]) / "status"
    measured = {path.stem: _seconds(path) for path in sorted(status.glob("*.json"))}
    return {
        **record,
        "steps": {
            name: {"seconds": measured[name], **said} if isinstance(said, Mapping) and measured.get(name) else said
            for name, said in steps.items()
        },
    }


def _seconds(file: Path) -> float | None:
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        return None
    return document.get("seconds") if isinstance(document, dict) and document.get("status") == "ok" else None


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
