"""The services that steps reach, as Protocols. A target's `services.py` implements them for its platform."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ctc.steps.secrets import EnvironmentSecrets

RunStatus = Literal["running", "dead", "unknown"]


@dataclass(frozen=True)
class Versioned:
    """A state document and the token that a compare-and-set must present; `document` is None before the first write."""

    document: Mapping[str, Any] | None
    token: str


class Conflict(Exception):
    """Somebody else wrote between the read and the write. Nothing was written: read again, decide again."""


class StateStore(Protocol):
    """The one mutable document of a (spec, environment, target)."""

    def read(self) -> Versioned: ...

    def compare_and_set(self, token: str, document: Mapping[str, Any]) -> str:
        """Writes durably and returns the new token; raises `Conflict` if the stored token is no longer `token`."""
        ...


class ObjectStore(Protocol):
    """JSON documents below the root. Keys are relative, with `/`."""

    def get(self, key: str) -> Mapping[str, Any] | None: ...

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Atomic: a reader sees the old document or the new one."""
        ...

    def put_once(self, key: str, document: Mapping[str, Any]) -> bool:
        """Writes only if nothing is there; False if something was."""
        ...

    def uri(self, key: str) -> str: ...


class Launcher(Protocol):
    """Starts a pipeline by its kind. Starting the same `key` twice starts it once."""

    def launch(self, key: str, parameters: Mapping[str, str], *, pipeline: str = "train") -> None: ...

    def status(self, key: str, *, pipeline: str = "train") -> RunStatus: ...


class Registry(Protocol):
    """Model versions. Aliases are projections of the state document."""

    def register(self, model: str, *, key: str, uri: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        """Registers and returns the version; the same `key` again returns the same version."""
        ...

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """Points the alias at the version; None takes it away."""
        ...

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        """Takes all but the newest `keep` versions out of the registry, never one that is `used`; files stay."""
        ...


class Secrets(Protocol):
    """Secrets by the name that a spec gives them."""

    def get(self, name: str) -> str:
        """The value, which goes into no log, record or message; StepFailed, saying where it should be, without it."""
        ...


@dataclass(frozen=True)
class Services:
    state: StateStore
    objects: ObjectStore
    launcher: Launcher
    registry: Registry
    secrets: Secrets = field(default_factory=EnvironmentSecrets)
