"""The deployment document: what was deployed, from which commit, and who is at it now. One for each deployment.

It stands beside the state document in the target's own bucket and is changed by compare-and-set only. A resource is
written into it before the service is asked to make it, so that nothing made can be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import Any

from ctc.deploy.resource import Recorded, Resource
from ctc.diagnostics import CtcError
from ctc.value import Value, frozen

VERSION = 1

KEPT = 20
"""So many past deployments are remembered."""


@frozen
class Commit(Value):
    """The commit of the spec's repository that was deployed; `changed` if the spec was not as committed."""

    id: str
    at: str
    changed: bool = False


@frozen
class Lease(Value):
    """Who changes the deployment, and until when (UTC) nobody else may."""

    holder: str
    until: str


@frozen
class Deployed(Value):
    """A deployment that was carried out to its end."""

    what: str
    at: str
    who: str
    spec_digest: str
    bundle_digest: str
    commit: Commit | None = None


@frozen
class Deployment(Value):
    """`last` is the newest one that ended well. `resources` go by address, in the order in which they were made."""

    last: Deployed | None = None
    resources: Mapping[str, Recorded] = field(default_factory=dict)
    lease: Lease | None = None
    history: tuple[Deployed, ...] = ()

    def done(self, what: Deployed) -> Deployment:
        """With this one as the newest, and without its lease."""
        return replace(self, last=what, history=(*self.history, what)[-KEPT:], lease=None)

    def making(self, resources: Iterable[Resource]) -> Deployment:
        """With these resources as about to be asked for; the others keep their place.

        What was asked of them before is kept beside it: the service has one or the other until the change is done.
        """
        former = {address: item.fields for address, item in self.resources.items()}
        return self._with(resources, lambda item: {*item.body, *former.get(item.address, ())})

    def made(self, resources: Iterable[Resource]) -> Deployment:
        """With these resources as asked for, and as the service now has them."""
        return self._with(resources, lambda item: item.body)

    def _with(self, resources: Iterable[Resource], fields: Callable[[Resource], Iterable[str]]) -> Deployment:
        kept = dict(self.resources)
        for item in resources:
            kept[item.address] = Recorded(item.kind, item.name, tuple(sorted(fields(item))))
        return replace(self, resources=kept)

    def without(self, addresses: Iterable[str]) -> Deployment:
        gone = set(addresses)
        return replace(self, resources={key: item for key, item in self.resources.items() if key not in gone})

    def in_order(self, addresses: Iterable[str]) -> Deployment:
        """The resources in the order of `addresses`; those that are not among them come first, as they were."""
        order = {address: number for number, address in enumerate(addresses)}
        items = sorted(self.resources.items(), key=lambda item: order.get(item[0], -1))
        return replace(self, resources=dict(items))


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def as_document(deployment: Deployment, name: str, environment: str, target: str) -> dict[str, Any]:
    """The JSON document."""
    lease = deployment.lease
    return {
        "version": VERSION,
        "name": name,
        "environment": environment,
        "target": target,
        "last": None if deployment.last is None else _deployed(deployment.last),
        "lease": None if lease is None else {"holder": lease.holder, "until": lease.until},
        # A list: the order in which they were made says in which they can go.
        "resources": [
            {"kind": item.kind, "name": item.name, "fields": list(item.fields)}
            for item in deployment.resources.values()
        ],
        "history": [_deployed(item) for item in deployment.history],
    }


def from_document(document: Mapping[str, Any] | None) -> Deployment:
    """CtcError for a document that a newer version wrote, or that is none."""
    if document is None:
        return Deployment()
    if document.get("version") != VERSION:
        raise CtcError(
            f"the deployment document has version {document.get('version')}, and this ctc reads {VERSION}",
            "use the ctc that deployed it, or a newer one",
        )
    try:
        lease = document["lease"]
        return Deployment(
            last=None if document["last"] is None else _read_deployed(document["last"]),
            resources={
                f"{item['kind']}/{item['name']}": Recorded(item["kind"], item["name"], tuple(item["fields"]))
                for item in document["resources"]
            },
            lease=None if lease is None else Lease(lease["holder"], lease["until"]),
            history=tuple(_read_deployed(item) for item in document["history"]),
        )
    except (KeyError, TypeError) as error:
        raise CtcError(f"the deployment document lacks {error}", "restore it from an older version of it") from error


def _deployed(item: Deployed) -> dict[str, Any]:
    commit = item.commit
    return {
        "what": item.what,
        "at": item.at,
        "who": item.who,
        "spec_digest": item.spec_digest,
        "bundle_digest": item.bundle_digest,
        "commit": None if commit is None else {"id": commit.id, "at": commit.at, "changed": commit.changed},
    }


def _read_deployed(item: Mapping[str, Any]) -> Deployed:
    commit = item["commit"]
    told = None if commit is None else Commit(commit["id"], commit["at"], commit["changed"])
    return Deployed(item["what"], item["at"], item["who"], item["spec_digest"], item["bundle_digest"], told)
