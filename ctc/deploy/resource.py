"""What is deployed, one resource at a time, and the hands that a target lends for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Protocol

from ctc.diagnostics import CtcError
from ctc.steps.ports import ObjectStore, StateStore
from ctc.value import Value, frozen

LABELS = ("ctc:name", "ctc:environment")
"""The labels that say whose a resource is: the deployed spec's name and its environment, never a person or a file."""


@frozen
class Resource(Value):
    """A resource as it should be.

    `body` is what its service is asked for, as plain JSON without labels; a field of it is compared whole, both ways,
    and a field that it does not have is the service's own affair. `fixed` are fields that the service cannot change: a
    new value means a new resource. What `starts` can start a pipeline: it comes after all others, and goes before them.
    What is `kept` holds models or records, and is left by `destroy` unless that is asked for. What is `superseded`
    rather than changed is left standing when it is no longer wanted, since a run that goes on may still read it: only
    `destroy` takes it away. What is an administrator's (`admin`), identities, is looked at, and made only where that is
    asked for. `content` are the bytes of files in a bucket.
    """

    kind: str
    name: str
    body: Mapping[str, Any]
    labels: Mapping[str, str]
    fixed: frozenset[str] = frozenset()
    starts: bool = False
    kept: bool = False
    superseded: bool = False
    content: Mapping[str, bytes] = field(default_factory=dict)
    admin: bool = False

    @property
    def address(self) -> str:
        return f"{self.kind}/{self.name}"


@frozen
class Live(Value):
    """A resource as its service describes it, in the shape of `Resource.body`: defaults, order and case made even.

    `labels` is None where the service keeps none for this kind: then the deployment document says whose it is.
    """

    body: Mapping[str, Any]
    labels: Mapping[str, str] | None

    def belongs_to(self, resource: Resource) -> bool | None:
        """Whether it carries the labels of the deployment; None where it cannot carry any."""
        if self.labels is None:
            return None
        return all(self.labels.get(key) == resource.labels[key] for key in LABELS)


@frozen
class Recorded(Value):
    """What the deployment document keeps of a resource that it made, or was about to: the fields that it asked for."""

    kind: str
    name: str
    fields: tuple[str, ...] = ()


class CloudError(CtcError):
    """A service refused, or could not be reached. The message names the action, the resource and the reason."""


class Hands(Protocol):
    """What `targets/<name>/deploy.py` lends to one deployment. All but `desired` ask the service.

    `create`, `update` and `delete` are done when they return, and harmless when repeated: what is there already is
    changed into what is asked, and what is gone stays gone. They raise `CloudError`.
    """

    def desired(self) -> tuple[Resource, ...]:
        """Everything, in the order in which it is made."""
        ...

    def whoami(self) -> str:
        """The identity that acts."""
        ...

    def known(self, recorded: Recorded) -> Resource:
        """A resource that is no longer wanted, by what the deployment document kept of it: to be read and deleted."""
        ...

    def read(self, resource: Resource) -> Live | None: ...

    def create(self, resource: Resource) -> None: ...

    def update(self, resource: Resource) -> None: ...

    def delete(self, resource: Resource) -> None: ...

    def documents(self) -> StateStore:
        """The deployment document, in the target's own bucket."""
        ...

    def state(self) -> StateStore:
        """The controller's state document, which wakes write."""
        ...

    def objects(self) -> ObjectStore:
        """Documents below the root: what people tell, records."""
        ...

    def records(self) -> tuple[str, ...]:
        """The keys of all records."""
        ...

    def wake(self, manual: Mapping[str, str]) -> str:
        """Starts the deployed wake pipeline with what a person tells; the service's name of that run."""
        ...
