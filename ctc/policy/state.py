"""The state document: one per (spec, environment, target), written only by `wake`, changed only by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from ctc.diagnostics import CtcError
from ctc.policy.approval import Pending
from ctc.policy.jobs import Scoring
from ctc.policy.standing import Grounds, Heard, Hold, Position, Quarantined, Retiring
from ctc.policy.windows import format_instant, parse_instant

VERSION = 2
"""1 knew no approvals, rollouts or holds; it is read as one without any."""

_SINCE_2 = (
    *("grounds", "approval", "rollout", "retiring", "hold", "quarantine"),
    *("first", "events", "heard", "trained_as", "succeeded", "alarmed"),
)

_SINCE = ("scoring",)
"""Fields that a document of version 2 may lack."""

EndedAs = Literal["candidate", "held", "stopped", "failed", "lost"]


class BadState(CtcError):
    """A state document that this ctc cannot read."""


@dataclass(frozen=True)
class Version:
    """A model version: where it is and how to run it.

    `trained_until` is the end of its training window, `full_at` the instant of the last attempt of its lineage that
    trained in full. `prepare` is how its rows are prepared before it predicts. `inputs` maps the name of each file
    that its commands are given to its digest, `csv` is how the rows that it reads are written (None: Parquet) and
    `inputs_schema` their columns, with types. `data` and `training` say what it was made of: the fingerprint of its
    snapshot, and a digest of its code, image, commands and parameters. An earlier ctc wrote none of these.
    """

    version: str
    attempt: str
    uri: str
    image: str
    predict: tuple[str, ...]
    code: str
    trained_until: datetime
    full_at: datetime | None = None
    prepare: Mapping[str, Any] | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    csv: Mapping[str, Any] | None = None
    inputs_schema: Mapping[str, str] | None = None
    data: str = ""
    training: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "attempt": self.attempt,
            "uri": self.uri,
            "image": self.image,
            "predict": list(self.predict),
            "code": self.code,
            "trained_until": format_instant(self.trained_until),
            "full_at": _format(self.full_at),
            "prepare": None if self.prepare is None else dict(self.prepare),
            "inputs": dict(self.inputs),
            "csv": None if self.csv is None else dict(self.csv),
            "inputs_schema": None if self.inputs_schema is None else dict(self.inputs_schema),
            "data": self.data,
            "training": self.training,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Version:
        """KeyError, TypeError or ValueError where the document has another shape."""
        return cls(
            version=str(document["version"]),
            attempt=str(document["attempt"]),
            uri=str(document["uri"]),
            image=str(document["image"]),
            predict=tuple(str(word) for word in document["predict"]),
            code=str(document["code"]),
            trained_until=parse_instant(document["trained_until"]),
            full_at=_parse(document.get("full_at")),
            prepare=_mapping(document.get("prepare")),
            inputs={str(name): str(digest) for name, digest in (_mapping(document.get("inputs")) or {}).items()},
            csv=_mapping(document.get("csv")),
            inputs_schema=_mapping(document.get("inputs_schema")),
            data=str(document.get("data", "")),
            training=str(document.get("training", "")),
        )


@dataclass(frozen=True)
class Attempt:
    """The one attempt that holds the lease. `launch` counts its starts from 1; each start has its own lease.

    `reserved` is what it may cost at most, in the spec's currency.
    """

    id: str
    instant: datetime
    spec_digest: str
    triggers: tuple[str, ...]
    labelled_until: datetime
    lease_until: datetime
    launch: int = 1
    reserved: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "instant": format_instant(self.instant),
            "spec_digest": self.spec_digest,
            "triggers": list(self.triggers),
            "labelled_until": format_instant(self.labelled_until),
            "lease_until": format_instant(self.lease_until),
            "launch": self.launch,
            "reserved": self.reserved,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Attempt:
        return cls(
            id=document["id"],
            instant=parse_instant(document["instant"]),
            spec_digest=document["spec_digest"],
            triggers=tuple(document["triggers"]),
            labelled_until=parse_instant(document["labelled_until"]),
            lease_until=parse_instant(document["lease_until"]),
            launch=document["launch"],
            reserved=document.get("reserved", 0.0),
        )


@dataclass(frozen=True)
class Ended:
    """An attempt that is over. `instant` is the instant at which it was started.

    `labelled_until` is the end of the rows that it was judged on; `spent` what it cost, or what was reserved for it
    where nobody knows.
    """

    id: str
    instant: datetime
    outcome: EndedAs
    labelled_until: datetime | None = None
    spent: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "instant": format_instant(self.instant),
            "outcome": self.outcome,
            "labelled_until": _format(self.labelled_until),
            "spent": self.spent,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Ended:
        return cls(
            document["id"],
            parse_instant(document["instant"]),
            document["outcome"],
            _parse(document.get("labelled_until")),
            document.get("spent", 0.0),
        )


@dataclass(frozen=True)
class Watermarks:
    """How far each trigger has been answered.

    `schedule`: per schedule trigger, the instant up to which its cron instants are settled. `new_data`: T of the last
    attempt, None before the first.
    """

    schedule: Mapping[str, datetime] = field(default_factory=dict)
    new_data: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "schedule": {name: format_instant(instant) for name, instant in sorted(self.schedule.items())},
            "new_data": _format(self.new_data),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Watermarks:
        schedule = {name: parse_instant(text) for name, text in document["schedule"].items()}
        return cls(schedule, _parse(document["new_data"]))


@dataclass(frozen=True)
class State:
    """What the controller remembers.

    `pending` is the outbox: actions (JSON) decided in this very write and not yet known to be applied. `revision` grows
    with every write. `sequence` counts the wake records, so that no two ids are equal. `attempts` holds ended attempts,
    oldest first, only as far back as a rule looks. `manual` holds the ids of answered requests, `heard` the keys of
    events that came. `first` is the attempt of the first champion, `trained_as` the digest of the training section that
    the last attempt was started with, `succeeded` when an attempt last ended with a verdict (before any: the first
    wake), `alarmed` the names of what has been told and has not passed. `scoring` holds the batch entries, by name.
    """

    champion: Version | None = None
    previous: Version | None = None
    candidate: Version | None = None
    grounds: Grounds | None = None
    approval: Pending | None = None
    rollout: Position | None = None
    retiring: Retiring | None = None
    hold: Hold | None = None
    quarantine: tuple[Quarantined, ...] = ()
    first: str | None = None
    attempt: Attempt | None = None
    watermarks: Watermarks = Watermarks()
    attempts: tuple[Ended, ...] = ()
    manual: tuple[str, ...] = ()
    events: tuple[Heard, ...] = ()
    heard: tuple[str, ...] = ()
    trained_as: str = ""
    succeeded: datetime | None = None
    alarmed: tuple[str, ...] = ()
    scoring: Mapping[str, Scoring] = field(default_factory=dict)
    last_wake: datetime | None = None
    pending: tuple[Mapping[str, Any], ...] = ()
    sequence: int = 0
    revision: int = 0

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"version": VERSION}
        for name, value in vars(self).items():
            document[name] = _plain(value)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> State:
        """The state that was written; None (nothing written yet) is the empty state. BadState if it cannot be read."""
        if document is None:
            return cls()
        version = document.get("version")
        if version == 1:
            document = {**{name: _plain(getattr(cls(), name)) for name in _SINCE_2}, **document}
        elif version != VERSION:
            raise BadState(
                f"the state document has version {version!r}, this ctc reads version {VERSION}",
                help="use the ctc that wrote it, or a newer one; the document was left as it is",
            )
        document = {**{name: _plain(getattr(cls(), name)) for name in _SINCE}, **document}
        try:
            return cls(**{name: read(document[name]) for name, read in _READERS.items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadState(
                f"the state document is damaged: {error!r}",
                help="restore an earlier copy of state.json; only ctc may write it",
            ) from error


def applied(state: State) -> State:
    """The state to write (compare-and-set) once every pending action has been applied."""
    return replace(state, pending=(), revision=state.revision + 1)


def _mapping(document: Any) -> Mapping[str, Any] | None:
    return None if document is None else dict(document)


def _format(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _parse(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


def _plain(value: Any) -> Any:
    """A field of the state as JSON."""
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value.to_json() if hasattr(value, "to_json") else value


def _maybe(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: tuple(read(value) for value in values)


def _same(value: Any) -> Any:
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "champion": _maybe(Version.from_json),
    "previous": _maybe(Version.from_json),
    "candidate": _maybe(Version.from_json),
    "grounds": _maybe(Grounds.from_json),
    "approval": _maybe(Pending.from_json),
    "rollout": _maybe(Position.from_json),
    "retiring": _maybe(Retiring.from_json),
    "hold": _maybe(Hold.from_json),
    "quarantine": _each(Quarantined.from_json),
    "first": _same,
    "attempt": _maybe(Attempt.from_json),
    "watermarks": Watermarks.from_json,
    "attempts": _each(Ended.from_json),
    "manual": tuple,
    "events": _each(Heard.from_json),
    "heard": tuple,
    "trained_as": _same,
    "succeeded": _parse,
    "alarmed": tuple,
    "scoring": lambda entries: {name: Scoring.from_json(entry) for name, entry in entries.items()},
    "last_wake": _parse,
    "pending": tuple,
    "sequence": _same,
    "revision": _same,
}
