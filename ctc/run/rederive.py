"""The verdict of an attempt once more, from nothing but its record: the numbers of then under the rules of then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctc import __version__
from ctc.diagnostics import CtcError
from ctc.policy import promotion
from ctc.run.records import Record, mapping


@dataclass(frozen=True)
class Difference:
    """`place` is the path in the record, e.g. `decision.gates[1].answer`."""

    place: str
    recorded: Any
    derived: Any

    def to_json(self) -> dict[str, Any]:
        return {"place": self.place, "recorded": self.recorded, "derived": self.derived}


_CALLED = {"score": "batch job"}


def judged(record: Record) -> bool:
    """Whether the attempt came to a verdict at all. CtcError for the record of a wake, which has none to check."""
    if record.get("kind") != "attempt":
        called = _CALLED.get(str(record.get("kind")), "wake")
        raise CtcError(
            f"{record['id']} is the record of a {called}, and only an attempt is judged",
            f"check the attempt: ctc runs show {record['attempt']} --check" if record.get("attempt") else "",
        )
    return bool(mapping(record, "decision"))


def differences(record: Record) -> tuple[Difference, ...]:
    """Where the record and the verdict derived from it differ; empty where they agree.

    CtcError if the record lacks the rules, or is too damaged to judge by.
    """
    section = mapping(mapping(record, "policy"), "promotion")
    writer = mapping(record, "versions").get("ctc", "an unknown version")
    if not section:
        raise CtcError(
            f"the record {record['id']} does not hold the rules that it was judged by",
            f"ctc {writer} wrote it; records hold `policy.promotion` since",
        )
    try:
        verdict = promotion.decide(section, mapping(record, "evaluation"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CtcError(
            f"ctc {__version__} cannot judge by the record {record['id']}: {type(error).__name__}: {error}",
            f"ctc {writer} wrote it: use that version; or the file was changed since",
        ) from error
    found = list(_differing("decision", mapping(record, "decision"), json.loads(json.dumps(verdict))))
    outcome = record.get("outcome")
    if outcome in ("candidate", "held") and verdict["promote"] is not (outcome == "candidate"):
        found.append(Difference("outcome", outcome, "candidate" if verdict["promote"] else "held"))
    return tuple(found)


def _differing(place: str, recorded: Any, derived: Any) -> Iterator[Difference]:
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        for key in sorted({*recorded, *derived}):
            yield from _differing(f"{place}.{key}", recorded.get(key), derived.get(key))
    elif isinstance(recorded, list) and isinstance(derived, list) and len(recorded) == len(derived):
        for index, (one, other) in enumerate(zip(recorded, derived, strict=True)):
            yield from _differing(f"{place}[{index}]", one, other)
    elif recorded != derived or isinstance(recorded, bool) is not isinstance(derived, bool):
        yield Difference(place, recorded, derived)
