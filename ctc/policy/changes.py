"""What a wake changes beside starting a training: told in its record, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ctc.policy.actions import Action
from ctc.policy.state import State

What = Literal[
    "promoted",
    "adopted",
    "approval_asked",
    "consented",
    "approved",
    "rejected",
    "expired",
    "superseded",
    "withdrawn",
    "quarantined",
    "rollout_started",
    "rollout_advanced",
    "rollout_aborted",
    "rolled_back",
    "resumed",
    "retired",
    "alert",
    "stale",
    "over_budget",
    "refused",
    "not_scored",
]


@dataclass(frozen=True)
class Change:
    """`version` is the model's that it is about, `who` the person's who asked for it; empty where there is none."""

    what: What
    reason: str
    version: str = ""
    who: str = ""

    @property
    def sentence(self) -> str:
        return sentence(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "reason": self.reason, "version": self.version, "who": self.who}


@dataclass(frozen=True)
class Draft:
    """A state under decision, with what has been asked for and what has changed on the way to it.

    `health` is what was found of the version that rolls out, for the record.
    """

    state: State
    actions: tuple[Action, ...] = ()
    changes: tuple[Change, ...] = ()
    health: tuple[Mapping[str, Any], ...] = ()

    def set(self, **fields: Any) -> Draft:
        """The draft with some fields of its state replaced."""
        return replace(self, state=replace(self.state, **fields))

    def ask(self, *actions: Action) -> Draft:
        return replace(self, actions=(*self.actions, *actions))

    def tell(self, change: Change) -> Draft:
        return replace(self, changes=(*self.changes, change))


def sentence(change: Mapping[str, Any]) -> str:
    """A change as a person reads it: `approval asked (version 3): officers must say yes by ...`."""
    about = f" (version {change['version']})" if change.get("version") else ""
    by = f" by {change['who']}" if change.get("who") else ""
    return f"{str(change.get('what')).replace('_', ' ')}{about}{by}: {change.get('reason')}"
