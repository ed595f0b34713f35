"""What a wake brings to the controller, as values: gathered by steps, judged here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ctc.policy.state import Version
from ctc.policy.windows import format_instant

Launch = Literal["running", "dead", "unknown"]


@dataclass(frozen=True)
class Manual:
    """A person's request for a run. A request with the same `id` is answered once."""

    id: str
    who: str
    why: str

    @classmethod
    def at(cls, instant: datetime, who: str, why: str) -> Manual:
        """A request without an id of its own: the same instant, person and reason are the same request."""
        text = "\n".join([format_instant(instant), who, why])
        return cls(hashlib.sha256(text.encode()).hexdigest()[:16], who, why)


Do = Literal["approve", "reject", "adopt", "rollback", "resume"]


@dataclass(frozen=True)
class Command:
    """What a person tells the controller to do. One with the same `id` is done once.

    `about` is the id of the approval that is answered, `group` the one in whose name; `version` is the adopted one.
    """

    id: str
    who: str
    why: str
    do: Do
    about: str = ""
    group: str = ""
    version: Version | None = None


@dataclass(frozen=True)
class Event:
    """An alert from outside: `key` tells it from others, `fields` is what it carried."""

    name: str
    key: str
    at: datetime
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LimitAnswer:
    """One limit or gate of a rollout, of the traffic that the contender has had in the present step."""

    name: str
    answer: Literal["pass", "fail", "not_evaluable"]
    reason: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "answer": self.answer, "reason": self.reason, "numbers": dict(self.numbers)}


@dataclass(frozen=True)
class Health:
    """How a rollout does. `smoke` is the answer of the present smoke step, None before there is one."""

    answers: tuple[LimitAnswer, ...] = ()
    smoke: LimitAnswer | None = None

    def to_json(self) -> list[dict[str, Any]]:
        return [answer.to_json() for answer in (*((self.smoke,) if self.smoke else ()), *self.answers)]


@dataclass(frozen=True)
class Answered:
    """What became of requests to one version: the seconds of those answered well, and how many failed in which way."""

    seconds: Sequence[float] = ()
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def requests(self) -> int:
        return len(self.seconds) + self.failed


@dataclass(frozen=True)
class NewRows:
    """Rows of the main source that have their label, or all where there is none.

    `unsettled` of them became known within the settling time.
    """

    rows: int
    unsettled: int = 0
    labelled: bool = True

    @property
    def called(self) -> str:
        """What they are, in messages."""
        return "labelled rows" if self.labelled else "rows"


@dataclass(frozen=True)
class NotEvaluable:
    """A question that could not be answered, and why: never a silent yes or no."""

    reason: str


@dataclass(frozen=True)
class RowsQuestion:
    """Which rows to count: event time in `[start, end)` (no start: from the beginning), their label known.

    A row is unsettled if it became known (label or row, whichever is later) in `[unsettled_since, now)`.
    `name` is the key of the answer in `Evidence.new_rows`.
    """

    name: str
    start: datetime | None
    end: datetime
    unsettled_since: datetime


@dataclass(frozen=True)
class Moment:
    """One evaluation instant of a `drift` or `performance` trigger. `over` is None if that cannot be said."""

    at: datetime
    over: bool | None
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveAnswer:
    """Moments of a trigger, newest first, up to the first that is not over its line; `every` seconds apart.

    `change` is the first moment of the stretch that is over, None if the trigger is not; `mature` the labelled rows of
    after it, where somebody waits for them.
    """

    moments: tuple[Moment, ...]
    every: float
    change: datetime | None = None
    mature: int | NotEvaluable | None = None


@dataclass(frozen=True)
class JobSeen:
    """A live batch job: the status of its launch, and its record if there is one, read in this order."""

    launch: Launch
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Evidence:
    """What was found out about one state.

    `attempt_record` and `launch` are about its live attempt: its record if there is one, and the status of its launch.
    The status must be read before the record: a run writes its record before it ends, so that one seen dead and then
    without a record is dead without a record. The other way round a run that ends in between would be started again.
    """

    manual: Manual | None = None
    command: Command | None = None
    event: Event | None = None
    health: Health | None = None
    new_rows: Mapping[str, NewRows | NotEvaluable] = field(default_factory=dict)
    attempt_record: Mapping[str, Any] | None = None
    launch: Launch | None = None
    live: Mapping[str, LiveAnswer | NotEvaluable] = field(default_factory=dict)
    jobs: Mapping[str, JobSeen] = field(default_factory=dict)
    """By the id of the job."""
