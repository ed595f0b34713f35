"""A person's yes: who must give it, what it binds, when it lapses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ctc.policy.windows import format_instant, parse_instant

ANYBODY = "anybody"
"""The group that stands where a rule names none."""


@dataclass(frozen=True)
class Rule:
    """One of `any_of` suffices, or each of `all_of` is needed; with neither, anybody may say yes."""

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    expires: timedelta = timedelta(days=7)

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Rule | None:
        if document is None:
            return None
        return cls(tuple(document["any_of"]), tuple(document["all_of"]), timedelta(seconds=document["expires"]))

    @property
    def groups(self) -> tuple[str, ...]:
        return self.any_of or self.all_of

    def to_json(self) -> dict[str, Any]:
        return {
            "any_of": list(self.any_of),
            "all_of": list(self.all_of),
            "expires": self.expires.total_seconds(),
        }


@dataclass(frozen=True)
class Consent:
    who: str
    group: str
    why: str

    def to_json(self) -> dict[str, str]:
        return {"who": self.who, "group": self.group, "why": self.why}


@dataclass(frozen=True)
class Pending:
    """A question to people. `id` is a digest of all that a yes binds: if any of it moves, the yes is to another
    question. `step` is the rollout step that asks, None before the rollout."""

    id: str
    version: str
    rule: Rule
    asked: datetime
    step: int | None = None
    consents: tuple[Consent, ...] = ()

    @property
    def expires(self) -> datetime:
        return self.asked + self.rule.expires

    @property
    def granted(self) -> bool:
        given = {consent.group for consent in self.consents}
        return given >= set(self.rule.all_of) if self.rule.all_of else bool(self.consents)

    @property
    def missing(self) -> tuple[str, ...]:
        """The groups whose yes is still needed; one of them suffices where the rule says any."""
        given = {consent.group for consent in self.consents}
        return () if self.granted else tuple(group for group in self.rule.groups or (ANYBODY,) if group not in given)

    def with_consent(self, consent: Consent) -> Pending:
        """A group's second yes says nothing new."""
        if any(given.group == consent.group for given in self.consents):
            return self
        return replace(self, consents=(*self.consents, consent))

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "version": self.version,
            "rule": self.rule.to_json(),
            "asked": format_instant(self.asked),
            "expires": format_instant(self.expires),
            "step": self.step,
            "consents": [consent.to_json() for consent in self.consents],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Pending:
        rule = Rule.from_document(document["rule"])
        assert rule is not None
        return cls(
            document["id"],
            document["version"],
            rule,
            parse_instant(document["asked"]),
            document["step"],
            tuple(Consent(given["who"], given["group"], given["why"]) for given in document["consents"]),
        )


def binding(
    *, version: str, champion: str | None, spec_digest: str, evidence: str, step: int | None, asked: datetime
) -> str:
    """The id of a question: twelve hex digits of a hash of what the answer is about."""
    text = json.dumps([version, champion, spec_digest, evidence, step, format_instant(asked)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
