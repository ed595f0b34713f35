"""What the state keeps of the batch entries of `serving`: how far each has scored, and the job that is live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ctc.policy.windows import format_instant, parse_instant


@dataclass(frozen=True)
class Job:
    """A job that holds its entry's lease of `lease` seconds. `launch` counts its starts from 1.

    `request` is what it was started with, the champion of that moment included: a later start of it is of the same.
    """

    id: str
    instant: datetime
    lease: float
    lease_until: datetime
    request: Mapping[str, Any]
    launch: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "instant": format_instant(self.instant),
            "lease": self.lease,
            "lease_until": format_instant(self.lease_until),
            "request": dict(self.request),
            "launch": self.launch,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Job:
        return cls(
            id=document["id"],
            instant=parse_instant(document["instant"]),
            lease=document["lease"],
            lease_until=parse_instant(document["lease_until"]),
            request=dict(document["request"]),
            launch=document["launch"],
        )


@dataclass(frozen=True)
class Scoring:
    """One batch entry.

    `settled` is the instant up to which its cron has been answered, None while it is in no spec. `scored_until`: the
    rows that were known by then have been scored, None before the first job. `part` names the file of the last job
    that did not end well, which the next job replaces; `told` is whether people know that it waits for a champion.
    """

    settled: datetime | None = None
    scored_until: datetime | None = None
    part: str = ""
    job: Job | None = None
    told: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "settled": None if self.settled is None else format_instant(self.settled),
            "scored_until": None if self.scored_until is None else format_instant(self.scored_until),
            "part": self.part,
            "job": None if self.job is None else self.job.to_json(),
            "told": self.told,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Scoring:
        settled, until, job = document["settled"], document["scored_until"], document["job"]
        return cls(
            settled=None if settled is None else parse_instant(settled),
            scored_until=None if until is None else parse_instant(until),
            part=document["part"],
            job=None if job is None else Job.from_json(job),
            told=document["told"],
        )
