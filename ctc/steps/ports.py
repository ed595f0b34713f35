"""The services that steps reach, as Protocols. A target's `services.py` implements them for its platform."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from ctc.policy.actions import Route, Smoke
from ctc.policy.evidence import Answered, LimitAnswer
from ctc.policy.state import Version
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
class Server:
    """How a version is served and asked: an online entry of `serving`, as the step document has it."""

    name: str
    argv: tuple[str, ...]
    port: int
    health: str
    route: str
    instances: Mapping[str, Any]

    @classmethod
    def from_document(cls, rollout: Mapping[str, Any]) -> Server:
        """From the section `rollout` of the wake's document."""
        found = rollout["server"]
        return cls(
            rollout["serving"],
            tuple(found["argv"]),
            found["port"],
            found["health"],
            found["route"],
            dict(found["instances"]),
        )


@dataclass(frozen=True)
class Standing:
    """What an endpoint does now: shares of the traffic by version, the mirrored share and to whom, and which versions
    are ready to serve. `since` is when the shares were last changed."""

    traffic: Mapping[str, float]
    ready: tuple[str, ...]
    since: datetime
    mirror: float = 0.0
    mirrored: str | None = None
    by: str | None = None


class Endpoint(Protocol):
    """What answers requests, a projection of the state document: setting it twice, or again later, is harmless."""

    def read(self, name: str) -> Standing | None:
        """What stands; None before the first route."""
        ...

    def route(self, server: Server, versions: Iterable[Version], route: Route, at: datetime) -> None:
        """Makes the versions ready and then moves the traffic; a reader sees the old shares or the new ones."""
        ...

    def smoke(self, server: Server, version: Version, smoke: Smoke) -> LimitAnswer:
        """Asks the version one request. `not_evaluable` if it could not be asked: then it is asked again."""
        ...

    def answered(self, server: Server, version: Version, *, request: str | None, since: datetime) -> Answered:
        """What became of the version's requests since an instant; StepFailed if nobody can say.

        `request` is a file that holds one, for an endpoint that no request has passed.
        """
        ...

    def retire(self, name: str, version: str) -> None:
        """Keeps a version ready no longer, unless it has traffic."""
        ...


@dataclass(frozen=True)
class Services:
    state: StateStore
    objects: ObjectStore
    launcher: Launcher
    registry: Registry
    secrets: Secrets = field(default_factory=EnvironmentSecrets)
    endpoint: Endpoint | None = None
