"""Where a model stands on its way to being the champion, and what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ctc.policy.windows import format_instant, parse_instant


@dataclass(frozen=True)
class Grounds:
    """What a candidate was chosen on: the champion it was compared with, the spec and the evidence that decided.

    `asks`: a gate could not be evaluated, and the policy leaves it to people.
    """

    champion: str | None
    spec_digest: str
    evidence: str
    asks: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "champion": self.champion,
            "spec_digest": self.spec_digest,
            "evidence": self.evidence,
            "asks": self.asks,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Grounds:
        return cls(document["champion"], document["spec_digest"], document["evidence"], document["asks"])


@dataclass(frozen=True)
class Position:
    """How far a rollout has come. `digest` is of its steps: a spec that changes them starts it over."""

    version: str
    step: int
    since: datetime
    digest: str

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "step": self.step,
            "since": format_instant(self.since),
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Position:
        return cls(document["version"], document["step"], parse_instant(document["since"]), document["digest"])


@dataclass(frozen=True)
class Hold:
    """No automatic trigger starts anything, since a rollback. `labelled_until` is T of that instant."""

    since: datetime
    reason: str
    labelled_until: datetime

    def to_json(self) -> dict[str, Any]:
        return {
            "since": format_instant(self.since),
            "reason": self.reason,
            "labelled_until": format_instant(self.labelled_until),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Hold:
        return cls(parse_instant(document["since"]), document["reason"], parse_instant(document["labelled_until"]))


@dataclass(frozen=True)
class Quarantined:
    """A version that was taken back. A candidate of the same data and training is refused; empty is no match."""

    version: str
    data: str
    training: str

    def to_json(self) -> dict[str, Any]:
        return {"version": self.version, "data": self.data, "training": self.training}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Quarantined:
        return cls(document["version"], document["data"], document["training"])


@dataclass(frozen=True)
class Retiring:
    """A former champion that stays ready until an instant."""

    version: str
    until: datetime

    def to_json(self) -> dict[str, Any]:
        return {"version": self.version, "until": format_instant(self.until)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Retiring:
        return cls(document["version"], parse_instant(document["until"]))


@dataclass(frozen=True)
class Heard:
    """An outside event that a trigger has not yet answered. `key` tells it from others of its `name`."""

    name: str
    key: str
    at: datetime

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "key": self.key, "at": format_instant(self.at)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Heard:
        return cls(document["name"], document["key"], parse_instant(document["at"]))
