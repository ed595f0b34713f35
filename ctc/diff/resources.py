"""What a deployment of the new bundle does to the resources of the old one, told from the bundles alone.

Nothing live is asked: `ctc plan` does that. A bundle's files are the resources' own documents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ctc import targets as registry
from ctc.compiler.build import Built, build
from ctc.diagnostics import Severity
from ctc.diff.model import Resources
from ctc.diff.rights import rights_between
from ctc.language.spec import Spec

_PLACES: dict[str, tuple[str, ...]] = {
    "kubeflow": ("host", "namespace", "bucket"),
    "sagemaker": ("region", "bucket"),
    "vertex": ("project", "region", "bucket"),
    "azureml": ("subscription", "resource_group", "workspace", "datastore"),
}
"""Settings that say where a deployment stands: with another value it is another deployment."""

_SAME_RESOURCE = re.compile(r"\.(policy|trust)$")
_KINDS = {
    "pipelines": "pipeline",
    "requests": "pipeline",
    "schedules": "schedule",
    "events": "event",
    "alarms": "alarm",
    "identities": "identity",
    "registry": "registry",
    "documents": "step document",
    "support": "program",
}
_CONTENTS = re.compile(rb"support/[0-9a-f]{64}/")
"""A folder that is named by what is in it, which is told by itself."""

_ACCOUNT = re.compile(r"arn:aws[\w-]*:iam::(\d+):")


def resources_between(
    base: Spec | None, head: Spec | None, target: str, where: str
) -> tuple[Resources, tuple[str, ...]]:
    """What is created, updated, replaced and deleted on one target, and what is new in how the target carries it.

    None stands for a spec that is not there on that side, or does not name the target.
    """
    face = registry.load(target)
    built = {side: build(spec, face) for side, spec in (("base", base), ("head", head)) if spec is not None}
    for side, made in built.items():
        if made.bundle is None:
            first = next(item for item in made.diagnostics if item.severity is Severity.ERROR)
            said = "it was refused before" if side == "base" else "the target refuses it"
            return Resources(where, target, unknown=f"{said}: {first.code} {first.message}"), ()
    old, new = (_resources(built[side]) if side in built else {} for side in ("base", "head"))
    if base is not None and head is not None and _moves(base, head, target):
        return Resources(where, target, replaced=tuple(sorted(new))), ()
    if head is None:
        return Resources(where, target, left=tuple(sorted(old))), ()
    other = [name for name in new if name in old and new[name] != old[name]]
    neutral = _neutral(built)
    updated = [name for name in other if neutral(new[name]) != neutral(old[name])]
    return (
        Resources(
            where,
            target,
            created=tuple(sorted(new.keys() - old.keys())),
            updated=tuple(sorted(updated)),
            deleted=tuple(sorted(old.keys() - new.keys())),
            relabelled=len(other) - len(updated),
        ),
        _carried(built, target),
    )


def _resources(built: Built) -> dict[str, bytes]:
    """The contents of each resource's documents, by what people call it."""
    found: dict[str, bytes] = {}
    assert built.bundle is not None
    for artifact in built.bundle.artifacts:
        name = _name(artifact.path)
        if name is not None:
            found[name] = found.get(name, b"") + artifact.content
    return found


def _name(path: str) -> str | None:
    """What a file of a bundle describes; None for what is for people, or says the same in another form."""
    folder, _, rest = path.partition("/")
    stem = _SAME_RESOURCE.sub("", rest.rpartition(".")[0])
    if folder == "serving":
        server, _, inner = rest.partition("/")
        return f"rollout documents of {server}" if inner.startswith("rollout") else f"serving {server}"
    if folder == "recurring-run.json":
        return "recurring run"
    return f"{_KINDS[folder]} {stem}" if folder in _KINDS and stem else None


def _moves(base: Spec, head: Spec, target: str) -> bool:
    """Whether it is another deployment: by its name, or by where it stands."""
    old, new = base.targets.get(target, {}), head.targets.get(target, {})
    return (
        base.deployed_name != head.deployed_name
        or any(old.get(key) != new.get(key) for key in _PLACES[target])
        or _account(old) != _account(new)
    )


def _account(settings: Mapping[str, object]) -> str:
    """The AWS account in which jobs run; empty on other platforms, which name theirs as a setting."""
    match = _ACCOUNT.match(str(settings.get("role", "")))
    return match[1] if match else ""


class _Neutral:
    """Contents without what every change of a spec changes: its digest, whole or cut."""

    def __init__(self, digests: list[bytes]) -> None:
        self.digests = digests

    def __call__(self, content: bytes) -> bytes:
        for digest in self.digests:
            for length in (64, 63, 12):
                content = content.replace(digest[:length], b"DIGEST")
        # YAML quotes those that begin like a number.
        return _CONTENTS.sub(b"support/CONTENTS/", content.replace(b'"DIGEST"', b"DIGEST"))


def _neutral(built: Mapping[str, Built]) -> _Neutral:
    return _Neutral([made.system.spec_digest.encode() for made in built.values()])


def _carried(built: Mapping[str, Built], target: str) -> tuple[str, ...]:
    """What the spec uses now, and did not before, that the target does not do by itself; and what identities may do."""
    if len(built) < 2:
        return ()
    face = registry.load(target)
    before = {feature for feature, _ in built["base"].system.features}
    emulated = tuple(
        f"{target} emulates `{feature}`: {face.CAPABILITIES[feature].reason}"
        for feature in dict.fromkeys(feature for feature, _ in built["head"].system.features)
        if feature not in before and face.CAPABILITIES[feature].support == "emulated"
    )
    old, new = built["base"].bundle, built["head"].bundle
    assert old is not None
    assert new is not None
    return (*emulated, *rights_between(old, new, target))
