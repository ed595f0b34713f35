"""A plan as a document: what `plan -o json` prints, `plan --out` keeps and `deploy --plan` holds the world against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctc.deploy.compare import Absent, Field
from ctc.deploy.plan import Plan, Step
from ctc.diagnostics import CtcError
from ctc.value import Value, frozen

VERSION = 1


@frozen
class About(Value):
    """Of which deployment a plan is, and what was asked of it (`apply.Wish`).

    `document` is the token of the deployment document that it was made beside.
    """

    name: str
    environment: str
    target: str
    spec_digest: str
    bundle_digest: str
    document: str
    select: tuple[str, ...] = ()
    start: bool = True
    roles: bool = False


def as_document(plan: Plan, about: About) -> dict[str, Any]:
    """The JSON document (`schemas/plan.v1.schema.json`)."""
    return {
        "version": VERSION,
        "name": about.name,
        "environment": about.environment,
        "target": about.target,
        "spec_digest": about.spec_digest,
        "bundle_digest": about.bundle_digest,
        "document": about.document,
        "select": list(about.select),
        "start": about.start,
        "roles": about.roles,
        "steps": [_step(step) for step in plan.steps],
    }


def read(path: Path) -> dict[str, Any]:
    """A saved plan. CtcError for a file that is none."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise CtcError(f"{path} is no saved plan: {error}", "save one with ctc plan --out FILE") from error
    if not isinstance(document, dict) or document.get("version") != VERSION or "steps" not in document:
        raise CtcError(f"{path} is no plan that this ctc saved", "save one with ctc plan --out FILE")
    return document


def require_same(kept: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """CtcError unless a saved plan is what would be planned now: it names what has moved."""
    for field, what in (
        ("name", "it is of another deployment"),
        ("environment", "it is of another environment"),
        ("target", "it is of another target"),
        ("bundle_digest", "the spec, or this ctc, compiles into something else"),
    ):
        if kept.get(field) != now[field]:
            raise _moved(path, f"{what}: {field} was {kept.get(field)}, and is {now[field]}")
    if kept.get("document") != now["document"]:
        raise _moved(path, "somebody has deployed since")
    before = {step["address"]: step for step in kept["steps"]}
    for step in now["steps"]:
        if before.get(step["address"]) != step:
            was = before.get(step["address"], {"verb": "nothing"})["verb"]
            raise _moved(path, f"{step['address']}: {was} was planned, and now it would be {step['verb']}")
    gone = before.keys() - {step["address"] for step in now["steps"]}
    if gone:
        raise _moved(path, f"{min(gone)} was planned, and is not there any more")


def _moved(path: Path, what: str) -> CtcError:
    return CtcError(f"the plan {path} no longer holds: {what}", "look at a new plan, and save that")


def _step(step: Step) -> dict[str, Any]:
    return {
        "address": step.resource.address,
        "kind": step.resource.kind,
        "name": step.resource.name,
        "verb": step.verb.value,
        "why": step.why,
        "starts": step.resource.starts,
        "fields": [_field(field) for field in step.fields],
    }


def _field(field: Field) -> dict[str, Any]:
    """A side that has no such field lacks `was` or `now`."""
    sides = {"was": field.was, "now": field.now}
    return {"path": field.path, **{side: value for side, value in sides.items() if not isinstance(value, Absent)}}
