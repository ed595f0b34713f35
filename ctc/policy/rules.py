"""What the controller decides by: the sections of the wake's step document, typed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ctc.policy.approval import Rule
from ctc.policy.suppression import Limits


@dataclass(frozen=True)
class RolloutRules:
    """`steps` and `limits` as the document has them. `digest` tells when they changed."""

    serving: str
    steps: tuple[Mapping[str, Any], ...]
    limits: tuple[Mapping[str, Any], ...]
    keep_previous: timedelta
    digest: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> RolloutRules | None:
        if document is None:
            return None
        text = json.dumps(document, sort_keys=True)
        return cls(
            document["serving"],
            tuple(document["steps"]),
            tuple(document["limits"]),
            timedelta(seconds=document["keep_previous"]),
            hashlib.sha256(text.encode()).hexdigest()[:12],
        )


@dataclass(frozen=True)
class Policy:
    """`windows` is the step document's section, `triggers` its enabled entries.

    `training` is a digest of the training section: where `on_deploy` is `retrain`, a new one asks for a run.
    `resume_rows` newly labelled rows end a hold; None leaves that to people. `remember` is how far back ended attempts
    are kept for the rules of others.
    """

    triggers: tuple[Mapping[str, Any], ...]
    limits: Limits
    windows: Mapping[str, Any]
    lease: timedelta
    known_after: float
    approval: Rule | None = None
    first: Rule | None = None
    rollout: RolloutRules | None = None
    on_deploy: str = "wait"
    training: str = ""
    resume_rows: int | None = None
    staleness: timedelta | None = None
    batch: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_document(cls, policy: Mapping[str, Any]) -> Policy:
        """From the `policy` of the wake's step document."""
        section = policy["triggers"]
        staleness = section.get("staleness")
        return cls(
            triggers=tuple(trigger for trigger in section["triggers"] if trigger["enabled"]),
            limits=Limits.from_document(section),
            windows=policy["windows"],
            lease=timedelta(seconds=section["lease"]),
            known_after=policy["windows"]["known_after"],
            approval=Rule.from_document(section.get("approval")),
            first=Rule.from_document(section.get("first")),
            rollout=RolloutRules.from_document(section.get("rollout")),
            on_deploy=section.get("on_deploy", "wait"),
            training=section.get("training", ""),
            resume_rows=section.get("resume_rows"),
            staleness=None if staleness is None else timedelta(seconds=staleness),
            batch=tuple(section.get("batch", ())),
        )
