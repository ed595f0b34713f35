"""Carrying out a plan: in order, each change read back, and each one that was begun known to the next deploy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from ctc.deploy.compare import differences
from ctc.deploy.document import Deployed, Deployment
from ctc.deploy.lease import Desk
from ctc.deploy.plan import Plan, Step, Verb, plan, removal
from ctc.deploy.resource import CloudError, Hands, Resource
from ctc.diagnostics import CtcError


class Progress(Protocol):
    def __call__(self, number: int, total: int, step: Step) -> None: ...


@dataclass(frozen=True)
class Wish:
    """What is asked of a deployment: the patterns of what is touched, whether what starts pipelines is made, and
    whether identities are, which are else an administrator's."""

    select: tuple[str, ...] = ()
    start: bool = True
    roles: bool = False

    def of(self, resources: Collection[Resource]) -> tuple[Resource, ...]:
        return tuple(item for item in resources if self.start or not item.starts)


def look(hands: Hands, deployment: Deployment, wish: Wish) -> Plan:
    """The plan of a deploy, from what the service says now."""
    everything = hands.desired()
    desired = wish.of(everything)
    known = _known(hands, deployment, {item.address for item in everything})
    live = {item.address: hands.read(item) for item in (*desired, *known)}
    return plan(desired, known, live, deployment.resources, wish.select, roles=wish.roles)


def look_at_all(hands: Hands, deployment: Deployment, *, everything: bool, select: tuple[str, ...] = ()) -> Plan:
    """The plan of a destroy: of what the document says was made, and no more."""
    desired = {item.address: item for item in hands.desired()}
    made = [desired.get(address) or hands.known(item) for address, item in deployment.resources.items()]
    live = {item.address: hands.read(item) for item in made}
    return removal(made, live, everything=everything, select=select)


def carry_out(hands: Hands, desk: Desk, steps: Plan, done: Deployed, progress: Progress) -> None:
    """Carries out a plan while the lease is held, and gives the lease back when all is done.

    CtcError names what was done and what was not; the same command then finishes it.
    """
    if steps.refused:
        raise CtcError("; ".join(f"{step.resource.address}: {step.why}" for step in steps.refused))
    wanted = [step.resource for step in steps.steps if step.verb not in _NOT_OURS and _made(step, desk.deployment)]
    desk.keep(desk.deployment.making(wanted))
    finished: list[Step] = []
    try:
        for number, step in enumerate(steps.changes, 1):
            desk.renew()
            progress(number, len(steps.changes), step)
            _do(hands, step)
            finished.append(step)
    except CloudError as error:
        desk.keep(desk.deployment.without(_gone(finished, steps)))
        raise CtcError(f"{error.message}\n{_told(finished, steps)}", error.help) from error
    gone = {*_gone(finished, steps), *(step.resource.address for step in steps.steps if step.verb is Verb.FORGET)}
    order = [item.address for item in hands.desired()]
    desk.leave(desk.deployment.made(wanted).without(gone).in_order(order).done(done))


_NOT_OURS = (Verb.FORGET, Verb.DELETE, Verb.LEAVE, Verb.REFUSE, Verb.CHECK)


def _made(step: Step, deployment: Deployment) -> bool:
    """Whether a resource is this deployment's: not what an administrator made and it only found as it should be."""
    return step.verb is not Verb.KEEP or not step.resource.admin or step.resource.address in deployment.resources


def _do(hands: Hands, step: Step) -> None:
    resource = step.resource
    if step.verb in (Verb.DELETE, Verb.REPLACE):
        hands.delete(resource)
    if step.verb in (Verb.CREATE, Verb.REPLACE):
        hands.create(resource)
    elif step.verb is Verb.UPDATE:
        hands.update(resource)
    _read_back(hands, step)


def _read_back(hands: Hands, step: Step) -> None:
    """CloudError unless the service now says what was asked of it."""
    resource, live = step.resource, hands.read(step.resource)
    if step.verb is Verb.DELETE:
        if live is not None:
            raise CloudError(f"{resource.address} was deleted, and the service still shows it")
        return
    if live is None:
        raise CloudError(f"{resource.address} was made, and the service does not show it")
    left = differences(resource.body, live.body, ())
    if left:
        fields = ", ".join(field.path for field in left[:5])
        raise CloudError(f"{resource.address} was changed, and the service still says something else of {fields}")


def _gone(finished: list[Step], steps: Plan) -> Iterator[str]:
    """Addresses that are no longer there: taken away now, and not made again under the same name."""
    made = {step.resource.address for step in steps.steps if step.verb not in _NOT_OURS}
    for step in finished:
        if step.verb is Verb.DELETE and step.resource.address not in made:
            yield step.resource.address


def _told(finished: list[Step], steps: Plan) -> str:
    changes = steps.changes
    done = ", ".join(f"{step.verb} {step.resource.address}" for step in finished) or "nothing"
    rest = ", ".join(step.resource.address for step in changes[len(finished) + 1 :]) or "nothing"
    failed = changes[len(finished)].resource.address
    return f"done: {done}\nfailed: {failed}\nnot begun: {rest}\nthe same command finishes it"


def _known(hands: Hands, deployment: Deployment, desired: Collection[str]) -> tuple[Resource, ...]:
    return tuple(hands.known(item) for address, item in deployment.resources.items() if address not in desired)


def moved(planned: Plan, now: Plan) -> str:
    """What a plan says now that it did not say before, in one line; empty if it is the same."""
    earlier = {step.resource.address: step for step in planned.steps}
    for step in now.steps:
        was = earlier.pop(step.resource.address, None)
        if was is None or was.verb is not step.verb or was.fields != step.fields:
            return (
                f"{step.resource.address}: {'nothing' if was is None else was.verb} was planned, now it is {step.verb}"
            )
    return next((f"{address} is no longer there" for address in earlier), "")
