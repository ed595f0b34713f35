"""Planning and carrying out, against a service in memory: in order, after every kill, beside others."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cloud import WHO, Clock, Killed, Line, Service, ToyHands, deploy, desk, destroy, planned, relabelled, resource
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ctc.deploy import saved
from ctc.deploy.apply import Wish, moved
from ctc.deploy.compare import Field, differences
from ctc.deploy.document import Deployment, as_document, from_document
from ctc.deploy.lease import LENGTH, Held, holder
from ctc.deploy.plan import Verb
from ctc.deploy.resource import Live, Resource
from ctc.deploy.text import lines, summary
from ctc.diagnostics import CtcError

SCHEMAS = Path(__file__).resolve().parent.parent.parent / "schemas"
WANTED = (
    resource("files/a", {"x": "1"}, superseded=True),
    resource("models/m", {"about": "m"}, kept=True, fixed=frozenset({"about"})),
    resource("pipeline/wake", {"definition": {"steps": [1, 2]}, "role": "r"}, fixed=frozenset({"role"})),
    resource("schedule/wake", {"every": "1h"}, starts=True),
)


def changed(address: str, **body: Any) -> tuple[Resource, ...]:
    return tuple(
        Resource(item.kind, item.name, {**item.body, **body}, item.labels, item.fixed, item.starts, item.kept)
        if item.address == address
        else item
        for item in WANTED
    )


def verbs(plan: Any) -> dict[str, str]:
    return {step.resource.address: step.verb.value for step in plan.steps}


def test_a_plan_after_a_deploy_is_empty_and_a_second_deploy_changes_nothing() -> None:
    service, clock = Service(), Clock()
    hands = ToyHands(service, WANTED)

    first = deploy(hands, clock)

    assert [step.verb for step in first.steps] == [Verb.CREATE] * 4
    assert set(verbs(planned(hands, clock)).values()) == {"no change"}
    before = list(service.log)
    deploy(hands, clock)
    assert service.log == before


def test_one_field_changes_one_resource() -> None:
    service, clock = Service(), Clock()
    deploy(ToyHands(service, WANTED), clock)

    plan = planned(ToyHands(service, changed("pipeline/wake", definition={"steps": [1, 3]})), clock)

    [step] = plan.changes
    assert step.resource.address == "pipeline/wake"
    assert step.fields == (Field("definition.steps[1]", 2, 3),)
    assert list(lines(plan)) == ["  ~ update   pipeline/wake", "      definition.steps[1]: 2 -> 3"]
    assert summary(plan) == "1 to update, 3 unchanged"


def test_what_starts_pipelines_is_made_last_and_goes_first() -> None:
    service, clock = Service(), Clock()
    early = (resource("schedule/old", {"every": "1h"}, starts=True), *WANTED)
    deploy(ToyHands(service, early), clock)
    assert service.log[-2:] == ["create schedule/old", "create schedule/wake"]

    service.log.clear()
    deploy(ToyHands(service, changed("schedule/wake", every="2h")), clock)
    assert service.log == ["delete schedule/old", "update schedule/wake"]

    service.log.clear()
    destroy(ToyHands(service, WANTED), clock)
    assert service.log == ["delete schedule/wake", "delete pipeline/wake", "delete files/a"]


def test_a_field_that_cannot_be_changed_replaces_and_one_of_models_is_refused() -> None:
    service, clock = Service(), Clock()
    deploy(ToyHands(service, WANTED), clock)

    replaced = planned(ToyHands(service, changed("pipeline/wake", role="other")), clock)
    refused = planned(ToyHands(service, changed("models/m", about="other")), clock)

    assert (replaced.changes[0].verb, replaced.changes[0].why) == (Verb.REPLACE, "role cannot be changed")
    [step] = refused.refused
    assert step.why.startswith("about cannot be changed, and a new one would lose what it holds")
    with pytest.raises(CtcError, match="models/m: about cannot be changed"):
        deploy(ToyHands(service, changed("models/m", about="other")), clock)


def test_what_is_not_ours_is_neither_changed_nor_deleted() -> None:
    service, clock = Service(), Clock()
    theirs = Live({"definition": "theirs"}, {"team": "other"})
    service.things["pipeline/wake"] = theirs

    plan = planned(ToyHands(service, WANTED), clock)
    assert plan.refused[0].why == (
        "one of that name is there already, and it is not this deployment's (no labels of ctc): rename the spec, or "
        "delete it"
    )
    with pytest.raises(CtcError, match="not this deployment's"):
        deploy(ToyHands(service, WANTED), clock)
    assert service.things == {"pipeline/wake": theirs}

    del service.things["pipeline/wake"]
    deploy(ToyHands(service, WANTED), clock)
    service.things["pipeline/wake"] = relabelled(service.things["pipeline/wake"], ctc_name="other")
    destroy(ToyHands(service, WANTED), clock)
    assert set(service.things) == {"pipeline/wake", "models/m"}


def test_another_environment_of_the_same_spec_is_somebody_else() -> None:
    service, clock = Service(), Clock()
    service.things["schedule/wake"] = Live({"every": "1h"}, {"ctc:name": "toy", "ctc:environment": "prod"})

    [step] = planned(ToyHands(service, WANTED), clock).refused

    assert "(ctc:environment=prod, ctc:name=toy)" in step.why


def test_models_and_what_a_run_may_still_read_stay_until_they_are_asked_for() -> None:
    service, clock = Service(), Clock()
    deploy(ToyHands(service, WANTED), clock)
    later = (resource("files/b", {"x": "2"}, superseded=True), *WANTED[1:])

    deploy(ToyHands(service, later), clock)
    assert {"files/a", "files/b"} <= set(service.things)

    destroy(ToyHands(service, later), clock)
    assert set(service.things) == {"models/m"}
    assert not destroy(ToyHands(service, later), clock).changes
    destroy(ToyHands(service, later), clock, everything=True)
    assert not service.things


def test_what_somebody_changed_or_deleted_there_is_put_right() -> None:
    service, clock = Service(), Clock()
    deploy(ToyHands(service, WANTED), clock)
    service.things["schedule/wake"] = Live({"every": "9h"}, service.things["schedule/wake"].labels)
    del service.things["pipeline/wake"]

    plan = planned(ToyHands(service, WANTED), clock)

    assert verbs(plan)["schedule/wake"] == "update"
    assert [(step.verb, step.why) for step in plan.steps if step.resource.address == "pipeline/wake"] == [
        (Verb.CREATE, "it was made before, and is gone")
    ]
    deploy(ToyHands(service, WANTED), clock)
    assert not planned(ToyHands(service, WANTED), clock).changes


def test_a_field_that_is_no_longer_asked_for_is_taken_away() -> None:
    service, clock = Service(), Clock()
    deploy(ToyHands(service, changed("schedule/wake", timezone="Europe/Oslo")), clock)

    [step] = planned(ToyHands(service, WANTED), clock).changes

    assert [(field.path, field.was, repr(field.now)) for field in step.fields] == [
        ("timezone", "Europe/Oslo", "(none)")
    ]


def test_a_service_may_add_fields_of_its_own() -> None:
    assert differences({"a": 1}, {"a": 1, "created": "today"}, ()) == ()


def test_select_touches_nothing_else_and_no_start_makes_no_schedule() -> None:
    service, clock = Service(), Clock()

    deploy(ToyHands(service, WANTED), clock, Wish(start=False))
    assert set(service.things) == {"files/a", "models/m", "pipeline/wake"}
    deploy(ToyHands(service, changed("pipeline/wake", role="r2")), clock, Wish(("schedule/*",)))
    assert service.things["pipeline/wake"].body["role"] == "r"
    assert "schedule/wake" in service.things
    # What waits is not what is unwanted.
    assert not planned(ToyHands(service, WANTED), clock, Wish(start=False)).changes


def test_a_refusal_says_what_is_done_and_the_same_command_finishes_it() -> None:
    service, clock = Service(), Clock()
    service.refuses = lambda request: request == "create pipeline/wake"

    with pytest.raises(CtcError) as caught:
        deploy(ToyHands(service, WANTED), clock)

    assert caught.value.message.splitlines() == [
        f"pipeline/wake: {WHO} may not create",
        "done: create files/a, create models/m",
        "failed: pipeline/wake",
        "not begun: schedule/wake",
        "the same command finishes it",
    ]
    service.refuses = lambda request: False
    assert [step.verb.value for step in deploy(ToyHands(service, WANTED), clock).changes] == ["create", "create"]


def test_a_change_that_the_service_did_not_take_is_an_error() -> None:
    service, clock = Service(), Clock()

    class Deaf(ToyHands):
        def update(self, item: Resource) -> None:
            """The service says yes and does nothing."""

    deploy(ToyHands(service, WANTED), clock)
    with pytest.raises(CtcError, match="the service still says something else of every"):
        deploy(Deaf(service, changed("schedule/wake", every="2h")), clock)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", ["first", "change", "destroy"])
def test_killed_at_every_request_the_next_one_finishes_it(what: str, done: bool) -> None:
    later = (
        resource("files/b", {"x": "2"}, superseded=True),
        *changed("pipeline/wake", role="other")[1:3],
        resource("schedule/new", {"every": "3h"}, starts=True),
    )
    number, ended = 0, False
    while not ended:
        number += 1
        service, clock = Service(), Clock()
        if what != "first":
            deploy(ToyHands(service, WANTED), clock)
        wanted = WANTED if what == "first" else later
        dying = ToyHands(service, wanted, Line(number, done))
        try:
            destroy(dying, clock) if what == "destroy" else deploy(dying, clock)
            ended = True
        except Killed:
            clock.pass_(LENGTH)
            hands = ToyHands(service, wanted)
            destroy(hands, clock) if what == "destroy" else deploy(hands, clock)
        hands = ToyHands(service, wanted)
        if what == "destroy":
            assert set(service.things) == {"models/m"}
        else:
            assert not planned(hands, clock).changes
            destroy(hands, clock, everything=True)
            assert not service.things
    assert number > 10


def test_two_deploys_at_once_one_is_refused_or_waits() -> None:
    service, clock = Service(), Clock()
    hands = ToyHands(service, WANTED)
    first, second = desk(hands, clock, "ann on here"), desk(hands, clock, "bob on there")
    first.look()
    second.look()
    first.take()

    with pytest.raises(CtcError, match="another deploy changed the deployment document"):
        second.take()
    second.look()
    with (
        pytest.raises(Held, match="ann on here deploys this right now, and holds it until"),
        second.held(timedelta(minutes=1), lambda seconds: clock.pass_(timedelta(seconds=seconds))),
    ):
        pass
    second.look()
    with (
        second.held(timedelta(minutes=10), lambda seconds: clock.pass_(timedelta(seconds=seconds))),
        pytest.raises(CtcError, match="another deploy changed"),
    ):
        first.keep(first.deployment)


def test_a_lease_of_a_dead_process_of_this_machine_is_free_at_once() -> None:
    service, clock = Service(), Clock()
    hands = ToyHands(service, WANTED)
    alive = holder("ann")
    dead = alive.replace(f"process {alive.split('(process ')[1].split(',')[0]}", "process 999999999")
    killed = desk(hands, clock, dead)
    killed.look()
    killed.take()

    after = desk(hands, clock)
    after.look()
    after.take()

    living = desk(hands, clock, alive)
    clock.pass_(LENGTH)
    living.look()
    living.take()
    again = desk(hands, clock)
    again.look()
    with pytest.raises(Held):
        again.take()


def test_the_document_comes_back_as_it_was_written() -> None:
    service, clock = Service(), Clock()
    deploy(ToyHands(service, WANTED), clock)
    deployment = desk(ToyHands(service, WANTED), clock).look()

    assert from_document(as_document(deployment, "toy", "default", "toy")) == deployment
    assert deployment.last is not None and deployment.lease is None
    assert from_document(None) == Deployment()
    with pytest.raises(CtcError, match="version 99"):
        from_document({"version": 99})
    with pytest.raises(CtcError, match="lacks 'lease'"):
        from_document({"version": 1})


def test_a_saved_plan_holds_until_something_moves(tmp_path: Path) -> None:
    service, clock = Service(), Clock()
    hands = ToyHands(service, WANTED)

    def document(token: str = "t", bundle: str = "b") -> dict[str, Any]:
        return saved.as_document(planned(hands, clock), saved.About("toy", "default", "toy", "s", bundle, token))

    kept, file = document(), tmp_path / "plan.json"
    Draft202012Validator(json.loads((SCHEMAS / "plan.v1.schema.json").read_text()), format_checker=None).validate(
        document(bundle="b" * 64) | {"spec_digest": "0" * 64}
    )
    saved.require_same(kept, document(), file)
    for now, told in (
        (document(bundle="c"), "the spec, or this ctc, compiles into something else"),
        (document(token="u"), "somebody has deployed since"),
    ):
        with pytest.raises(CtcError, match=told):
            saved.require_same(kept, now, file)
    service.things["models/m"] = Live({"about": "m"}, WANTED[1].labels)
    with pytest.raises(CtcError, match="models/m: create was planned, and now it would be no change"):
        saved.require_same(kept, document(), file)
    for text in ("{", "[]", '{"version": 2, "steps": []}'):
        file.write_text(text)
        with pytest.raises(CtcError, match=r"no saved plan|no plan that"):
            saved.read(file)


def test_a_world_that_moved_between_plan_and_lease_is_seen() -> None:
    service, clock = Service(), Clock()
    hands = ToyHands(service, WANTED)
    before = planned(hands, clock)
    service.things["schedule/wake"] = Live({"every": "9h"}, WANTED[3].labels)

    assert moved(before, before) == ""
    assert moved(before, planned(hands, clock)) == "schedule/wake: create was planned, now it is update"


_BODIES = st.dictionaries(st.sampled_from("abc"), st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2))), max_size=3)
_SETS = st.dictionaries(
    st.sampled_from(["pipeline/a", "pipeline/b", "schedule/a", "schedule/b", "files/a", "alarm/a"]), _BODIES, max_size=6
)


@settings(max_examples=60, deadline=None)
# A field that is no longer asked for, and a kill before the change that takes it away.
@example([({"pipeline/b": {}, "pipeline/a": {"a": 0}}, 0, False), ({"pipeline/a": {}}, 6, False)])
@given(st.lists(st.tuples(_SETS, st.integers(0, 40), st.booleans()), min_size=1, max_size=4))
def test_whatever_came_before_a_deploy_that_ends_leaves_what_was_asked(
    history: list[tuple[dict[str, dict[str, Any]], int, bool]],
) -> None:
    """Deploys of any sets, each perhaps killed at some request, then one that ends: no phantom, nothing forgotten."""
    service, clock = Service(), Clock()
    for wanted, kill, done in history:
        made = _made(wanted)
        try:
            deploy(ToyHands(service, made, Line(kill, done)), clock)
        except Killed:
            clock.pass_(LENGTH)
    final = _made(history[-1][0])
    deploy(ToyHands(service, final), clock)

    standing = {address for address in service.things if not address.startswith("files/")}
    assert standing == {item.address for item in final if not item.superseded}
    assert all(service.things[item.address].body == item.body for item in final)
    destroy(ToyHands(service, final), clock)
    assert not service.things


def _made(wanted: dict[str, dict[str, Any]]) -> tuple[Resource, ...]:
    return tuple(
        resource(address, body, starts=address.startswith("schedule"), superseded=address.startswith("files"))
        for address, body in sorted(wanted.items())
    )
