"""What the identities of a bundle may do now and might not before, or no longer: nobody edits that, and it follows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ctc.compiler.bundle import Bundle

_FOR_PEOPLE = ("deployer", "operator", "role-deployer", "role-maker", "stack-deployer")
"""Policies of those who deploy and look: what they may follows from the resources, which are told."""

_MOST = 4

Right = tuple[str, str]
"""An action, a permission or a role, and on what."""


def rights_between(base: Bundle, head: Bundle, target: str) -> Iterator[str]:
    """A line for each identity that gains or loses something."""
    old, new = _rights(base), _rights(head)
    for identity in sorted({*old, *new}):
        for verb, found in (
            ("gains", new.get(identity, frozenset()) - old.get(identity, frozenset())),
            ("loses", old.get(identity, frozenset()) - new.get(identity, frozenset())),
        ):
            if found and identity in old and identity in new:
                yield f"{target}: identity {identity} {verb} {_said(found)}"


def _said(rights: frozenset[Right]) -> str:
    by_place: dict[str, list[str]] = {}
    for action, place in sorted(rights):
        by_place.setdefault(place, []).append(action)
    told = [
        f"`{', '.join(actions[:_MOST])}`{f' and {len(actions) - _MOST} more' if len(actions) > _MOST else ''}"
        + (f" on `{place}`" if place else "")
        for place, actions in by_place.items()
    ]
    more = f"; and on {len(told) - _MOST} more" if len(told) > _MOST else ""
    return "; ".join(told[:_MOST]) + more


def _rights(bundle: Bundle) -> dict[str, frozenset[Right]]:
    found: dict[str, frozenset[Right]] = {}
    for artifact in bundle.artifacts:
        folder, _, name = artifact.path.partition("/")
        identity = name.removesuffix(".json").removesuffix(".policy")
        if folder == "identities" and identity not in _FOR_PEOPLE and not identity.endswith(".trust"):
            found[identity] = frozenset(_of(json.loads(artifact.content)))
    return found


def _of(document: Any) -> Iterator[Right]:
    """The rights of an AWS policy, of a custom role of Google or Azure, or of a list of grants."""
    for statement in document.get("Statement", ()):
        for place in statement["Resource"]:
            yield from ((action, place) for action in statement["Action"])
    role = document.get("role", document)
    for key in ("includedPermissions", "Actions", "DataActions"):
        yield from ((action, "") for action in role.get(key, ()) if isinstance(action, str))
    for grant in document.get("grants", ()):
        binding = grant.get("binding", grant)
        condition = binding.get("condition", "")
        limits = condition.get("expression", "") if isinstance(condition, dict) else condition
        place = str(grant.get("resource", grant.get("scope", "")))
        yield str(binding.get("role", "")), f"{place} if {limits}" if limits else place
