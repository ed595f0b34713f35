"""Reading the records of a deployment's state folder, and pairing each attempt with the wakes around it.

Reads only. Records of failed, stopped and lost attempts lack parts, and a crash can leave a file that is no record:
every reader here answers with what there is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctc.language.spec import Spec
from ctc.policy.changes import sentence
from ctc.policy.promotion import RELATIVE

Record = Mapping[str, Any]
Outcome = Literal[
    "promoted",
    "candidate",
    "held",
    "stopped",
    "failed",
    "lost",
    "suppressed",
    "changed",
    "running",
    "scored",
    "empty",
]

STATE_FOLDER = ".ctc"
RUNS = ("attempt", "score")
"""The kinds of records of something that ran: an attempt, a batch job."""

_PARTS = ("train", "valid", "holdout")


def state_folder(folder: Path, spec: Spec, target: str, state: Path | None = None) -> Path:
    """Where a deployment's state is kept locally: below `<spec folder>/.ctc`, or below `state`."""
    return (state or folder / STATE_FOLDER).absolute() / spec.model_name / spec.environment / target


@dataclass(frozen=True)
class Records:
    """The records in the order in which they came about; `unreadable` names the files that hold none."""

    items: tuple[Record, ...] = ()
    unreadable: tuple[str, ...] = ()


def read_records(state: Path) -> Records:
    """Every record below `state`; no folder, no records."""
    found: list[Record] = []
    unreadable: list[str] = []
    for path in sorted((state / "records").glob("*.json")):
        document = read_document(path)
        if document is None or not {"id", "kind", "instant"} <= document.keys():
            unreadable.append(path.name)
        else:
            found.append(document)
    return Records(tuple(sorted(found, key=_order)), tuple(unreadable))


def read_document(path: Path) -> Record | None:
    """A JSON object from a file; None if the file is absent or damaged."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _order(record: Record) -> tuple[str, int, str]:
    """By instant; within one, the wake that starts an attempt, the attempt, the wake that reads its record."""
    starts = ("start_training", "start_scoring")
    started = any(action.get("action") in starts for action in mappings(record, "actions"))
    rank = 1 if record["kind"] in RUNS else 0 if started else 2
    return str(record["instant"]), rank, str(record["id"])


@dataclass(frozen=True)
class Estimate:
    """A metric's value with the interval in which it lies; the bounds are None where none was computed."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Focus:
    """What a deployment is followed by: its main metric, and the gate that compares it (empty where none does)."""

    metric: str
    better: str
    gate: str = ""


def focus(spec: Spec) -> Focus:
    """The metric of the first gate that compares with the champion, else of the first gate, else the first metric."""
    relative = [gate for gate in spec.promotion.gates if gate.kind in RELATIVE]
    gates = relative or list(spec.promotion.gates)
    metric = next((gate.metric for gate in gates if gate.metric), spec.evaluation.metrics[0].name)
    better = next((item.better for item in spec.evaluation.metrics if item.name == metric), "higher")
    return Focus(metric, better, relative[0].name if relative else "")


@dataclass(frozen=True)
class Cycle:
    """One attempt with the wake that started it (either may be missing), a batch job, or a wake that was suppressed or
    changed something.

    `promoted`: a later wake made its candidate the champion.
    """

    instant: str
    wake: Record | None
    attempt: Record | None
    promoted: bool = False

    @property
    def id(self) -> str:
        record = self.attempt if self.attempt is not None else self.wake
        return "" if record is None else str(record["id"])

    @property
    def scored(self) -> bool:
        """Whether this is a batch job."""
        return self.attempt is not None and self.attempt.get("kind") == "score"

    @property
    def outcome(self) -> Outcome:
        if self.attempt is None:
            suppressed = self.wake is not None and self.wake.get("suppressed")
            return "suppressed" if suppressed else "changed" if self.changes else "running"
        outcome: Outcome = self.attempt.get("outcome") or "failed"
        return "promoted" if outcome == "candidate" and self.promoted else outcome

    @property
    def reason(self) -> str:
        if self.attempt is not None:
            return str(self.attempt.get("reason") or "")
        suppressed = mapping(self.wake, "suppressed")
        if suppressed:
            return f"{suppressed.get('by', '')}: {suppressed.get('reason', '')}"
        return "; ".join(self.changes) or "its record is not there"

    @property
    def changes(self) -> tuple[str, ...]:
        """What its wake changed, in sentences."""
        return tuple(sentence(change) for change in mappings(self.wake, "changes"))

    @property
    def fired(self) -> tuple[str, ...]:
        """The names of the triggers that fired; of a batch job its entry's."""
        if self.scored and self.attempt is not None:
            return (str(self.attempt.get("serving")),)
        if self.attempt is not None and self.attempt.get("triggers"):
            return tuple(str(name) for name in self.attempt["triggers"])
        return tuple(str(answer.get("name")) for answer in self.answers if answer.get("answer") == "fired")

    @property
    def answers(self) -> tuple[Record, ...]:
        """What each trigger answered, with its numbers."""
        return mappings(self.wake, "triggers")

    @property
    def checks(self) -> tuple[Record, ...]:
        return mappings(self.attempt, "checks")

    @property
    def gates(self) -> tuple[Record, ...]:
        return mappings(mapping(self.attempt, "decision"), "gates")

    @property
    def metrics(self) -> Mapping[str, Record]:
        found = mapping(mapping(self.attempt, "evaluation"), "metrics")
        return {name: value for name, value in found.items() if isinstance(value, Mapping)}

    @property
    def slices(self) -> Mapping[str, Record]:
        found = mapping(mapping(self.attempt, "evaluation"), "slices")
        return {name: value for name, value in found.items() if isinstance(value, Mapping)}

    @property
    def version(self) -> str:
        """The registered version of the contender; empty if it was not registered."""
        return str(mapping(self.attempt, "candidate").get("version", ""))

    @property
    def champion(self) -> str:
        """The version that was champion when the cycle began; empty if there was none."""
        version = None if self.attempt is None else self.attempt.get("champion")
        return "" if version is None else str(version)

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows by part of the snapshot."""
        data = mapping(self.attempt, "data")
        inner = data.get("rows")
        source = inner if isinstance(inner, Mapping) else data
        counts = {name: value for name, value in source.items() if isinstance(value, int) and value is not True}
        return {name: counts[name] for name in sorted(counts, key=_part_order)}

    def estimate(self, metric: str, model: Literal["contender", "champion"]) -> Estimate | None:
        """A model's value of a metric on this cycle's holdout, None where it was not computed."""
        measured = mapping(self.metrics.get(metric), model)
        value = number(measured.get("value"))
        return None if value is None else Estimate(value, number(measured.get("low")), number(measured.get("high")))

    def comparison(self, gate: str) -> Record:
        """The paired comparison that a gate rests on; empty where there was none."""
        return mapping(mapping(mapping(self.attempt, "evaluation"), "gates"), gate)


def _part_order(name: str) -> tuple[int, str]:
    """The parts of a snapshot as a run meets them, then whatever else was counted."""
    return (_PARTS.index(name) if name in _PARTS else len(_PARTS)), name


def cycles(records: Iterable[Record]) -> tuple[Cycle, ...]:
    """The cycles in order: one for each attempt and batch job, and for each wake that was suppressed or changed
    something."""
    records = tuple(records)
    wakes = [record for record in records if record["kind"] == "wake"]
    starters = {str(wake.get("attempt")): wake for wake in reversed(wakes) if _starts(wake)}
    promoted = {
        str(action.get("version"))
        for wake in wakes
        for action in mappings(wake, "actions")
        if action.get("action") == "promote"
    }
    found: list[Cycle] = []
    attempted = {str(record["id"]) for record in records if record["kind"] == "attempt"}
    for record in records:
        if record["kind"] == "attempt":
            version = mapping(record, "candidate").get("version")
            found.append(
                Cycle(str(record["instant"]), starters.get(str(record["id"])), record, str(version) in promoted)
            )
        elif record["kind"] == "score":
            found.append(Cycle(str(record["instant"]), None, record))
        elif _alone(record, attempted):
            found.append(Cycle(str(record["instant"]), record, None))
    return tuple(found)


def _alone(wake: Record, attempted: set[str]) -> bool:
    """Whether a wake is told of by itself: an attempt's promotion is told with the attempt."""
    if wake.get("suppressed"):
        return True
    if _starts(wake):
        return str(wake.get("attempt")) not in attempted
    return any(change.get("what") != "promoted" for change in mappings(wake, "changes"))


def _starts(wake: Record) -> bool:
    return any(action.get("action") == "start_training" for action in mappings(wake, "actions"))


@dataclass(frozen=True)
class Reign:
    """A version's time as champion: what it was worth when promoted, then on each later cycle's fresh rows.

    `points` are (index of the cycle, value); the first is from its promotion.
    """

    version: str
    points: tuple[tuple[int, float], ...]
    replaced_by: str = ""


def reigns(found: Sequence[Cycle], metric: str) -> tuple[Reign, ...]:
    """Every champion's course, oldest first; one that came from elsewhere starts where it was first measured."""
    courses: dict[str, list[tuple[int, float]]] = {}
    for index, cycle in enumerate(found):
        reigning = cycle.estimate(metric, "champion")
        if cycle.champion and reigning is not None:
            courses.setdefault(cycle.champion, []).append((index, reigning.value))
        contender = cycle.estimate(metric, "contender")
        if cycle.outcome == "promoted" and contender is not None:
            courses.setdefault(cycle.version, []).append((index, contender.value))
    versions = list(courses)
    return tuple(
        Reign(version, tuple(courses[version]), versions[place + 1] if place + 1 < len(versions) else "")
        for place, version in enumerate(versions)
    )


def mapping(document: object, key: str) -> Record:
    """The object under a key; empty if there is none."""
    value = document.get(key) if isinstance(document, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def mappings(document: object, key: str) -> tuple[Record, ...]:
    """The objects in the list under a key."""
    value = document.get(key) if isinstance(document, Mapping) else None
    return tuple(item for item in value if isinstance(item, Mapping)) if isinstance(value, list | tuple) else ()


def number(value: object) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
