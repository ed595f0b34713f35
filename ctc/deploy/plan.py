"""What a deployment would do: pure, from what should be, what is, and what an earlier deployment made."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum

from ctc.deploy.compare import Field, differences
from ctc.deploy.resource import Live, Recorded, Resource
from ctc.value import Value, frozen


class Verb(StrEnum):
    KEEP = "no change"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    LEAVE = "leave"
    FORGET = "forget"
    """It should go, and is gone already."""
    REFUSE = "refuse"
    CHECK = "check"
    """An administrator's, and not what it should be."""


CHANGES = (Verb.CREATE, Verb.UPDATE, Verb.REPLACE, Verb.DELETE)
"""What asks something of the service."""


@frozen
class Step(Value):
    """What is to happen to one resource, why, and the fields that differ."""

    verb: Verb
    resource: Resource
    why: str = ""
    fields: tuple[Field, ...] = ()


@frozen
class Plan(Value):
    """The steps in the order in which they are taken; those that change nothing are among them."""

    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.verb in CHANGES)

    @property
    def refused(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.verb is Verb.REFUSE)

    def count(self, verb: Verb) -> int:
        return sum(step.verb is verb for step in self.steps)


def plan(
    desired: Collection[Resource],
    known: Collection[Resource],
    live: Mapping[str, Live | None],
    recorded: Mapping[str, Recorded],
    select: Collection[str] = (),
    *,
    roles: bool = False,
) -> Plan:
    """What a deployment would do.

    With `roles` it also makes what is else an administrator's.

    `known` are the resources of the document that are no longer desired. `live` has every address of both. `select` are
    patterns of addresses outside of which nothing is touched. What starts pipelines and has to go, goes first; then
    what is made or changed, in its order, what starts pipelines last; then what else has to go, last made first.
    """

    def selected(resource: Resource) -> bool:
        return not select or any(fnmatch.fnmatchcase(resource.address, pattern) for pattern in select)

    made = [
        _seen(item, live[item.address])
        if item.admin and not roles
        else _wanted(item, live[item.address], recorded.get(item.address))
        for item in desired
        if selected(item)
    ]
    gone = [_unwanted(item, live[item.address]) for item in known if selected(item)]
    first = [step for step in gone if step.resource.starts]
    last = [step for step in gone if not step.resource.starts]
    ordered = sorted(made, key=lambda step: step.resource.starts)
    return Plan((*first, *ordered, *reversed(last)))


def removal(
    known: Collection[Resource], live: Mapping[str, Live | None], *, everything: bool, select: Collection[str] = ()
) -> Plan:
    """What `destroy` would do: all that the deployment made, last made first; what is kept only with `everything`."""

    def steps() -> Iterator[Step]:
        for item in known:
            if select and not any(fnmatch.fnmatchcase(item.address, pattern) for pattern in select):
                continue
            if item.kept and not everything and live[item.address] is not None:
                yield Step(Verb.LEAVE, item, "it holds models or records; --everything takes it too")
            else:
                yield _unwanted(item, live[item.address], superseded=False)

    ordered = list(reversed(list(steps())))
    return Plan(tuple(sorted(ordered, key=lambda step: not step.resource.starts)))


def _seen(resource: Resource, live: Live | None) -> Step:
    """What an administrator has made, or has not."""
    if live is None:
        why = "an administrator makes it: ctc bootstrap says how; or --create-roles, for those who may"
        return Step(Verb.REFUSE, resource, why)
    fields = differences(resource.body, live.body, ())
    if not fields:
        return Step(Verb.KEEP, resource)
    return Step(Verb.CHECK, resource, "an administrator's, and not what this spec needs: ctc bootstrap", fields)


def _wanted(resource: Resource, live: Live | None, recorded: Recorded | None) -> Step:
    if live is None:
        why = "" if recorded is None else "it was made before, and is gone"
        return Step(Verb.CREATE, resource, why)
    ours = live.belongs_to(resource)
    fields = differences(resource.body, live.body, () if recorded is None else recorded.fields)
    # What an administrator made as it should be is nobody's to refuse.
    if resource.admin and ours is None and not fields:
        return Step(Verb.KEEP, resource)
    if ours is False or (ours is None and recorded is None):
        return Step(Verb.REFUSE, resource, _foreign(live))
    if not fields:
        return Step(Verb.KEEP, resource)
    fixed = sorted({field.top for field in fields} & resource.fixed)
    if not fixed:
        return Step(Verb.UPDATE, resource, "", fields)
    if resource.kept:
        why = f"{_list(fixed)} cannot be changed, and a new one would lose what it holds: delete it by hand first"
        return Step(Verb.REFUSE, resource, why, fields)
    return Step(Verb.REPLACE, resource, f"{_list(fixed)} cannot be changed", fields)


def _foreign(live: Live) -> str:
    there, then = "one of that name is there already, and", "rename the spec, or delete it"
    if live.labels is None:
        return f"{there} this deployment did not make it: {then}"
    held = sorted((key, value) for key, value in live.labels.items() if key.startswith("ctc:"))
    whose = ", ".join(f"{key}={value}" for key, value in held) or "no labels of ctc"
    return f"{there} it is not this deployment's ({whose}): {then}"


def _unwanted(resource: Resource, live: Live | None, *, superseded: bool | None = None) -> Step:
    left = resource.superseded if superseded is None else superseded
    if live is None:
        return Step(Verb.FORGET, resource, "it is gone already")
    if live.belongs_to(resource) is False:
        return Step(Verb.FORGET, resource, "one of that name is there that is not this deployment's: it stays")
    if left:
        return Step(Verb.LEAVE, resource, "a run that goes on may still read it; destroy takes it away")
    if resource.kept and superseded is None:
        return Step(Verb.LEAVE, resource, "it holds models or records")
    return Step(Verb.DELETE, resource)


def _list(names: list[str]) -> str:
    return " and ".join(names)
