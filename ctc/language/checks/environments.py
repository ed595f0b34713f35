"""Environments against each other, and targets' own variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, Tree, check_environments, check_tree, suggest
from ctc.language.spec import Spec

_PRODUCTION = re.compile(r"(^|[-_])(prod|prd|production|live)($|[-_])")
_TRYING = re.compile(
    r"(^|[-_])(dev|devel|develop|development|test|testing|ci|sandbox|stage|staging|qa|uat|preview|local|play)($|[-_])"
)

_ADDRESS: dict[str, tuple[str, ...]] = {
    "kubeflow": ("host", "namespace"),
    "sagemaker": ("region", "role"),
    "vertex": ("project", "region"),
    "azureml": ("subscription", "resource_group", "workspace"),
}
"""The settings of a target within which a name is a resource's only one."""

_NO_ADDRESS = re.compile(r"P?[0-9]+(\.[0-9]+)?(%|[a-zA-Z]{1,2}|/[smhd])?|([0-9*,/-]+ ){4}[0-9A-Za-z*,/-]+")
"""A number, with a unit or without, or a cron expression."""

Specs = Mapping[str, Spec]


def _real_last(specs: Specs) -> list[tuple[str, Spec]]:
    """The environments, those last that production runs in."""
    return sorted(specs.items(), key=lambda item: _PRODUCTION.search(item[0]) is not None)


def _address(spec: Spec, target: str) -> tuple[str, ...]:
    settings = spec.targets[target]
    # The account is the part of an AWS role that names resources: arn:aws:iam::ACCOUNT:role/NAME.
    return tuple(
        str(settings.get(key, "")).split(":role/")[0] if key == "role" else str(settings.get(key, ""))
        for key in _ADDRESS.get(target, ())
    )


def _common_targets(one: Spec, other: Spec) -> list[str]:
    """The targets on which both environments are in the same place."""
    both = [target for target in one.targets if target in other.targets]
    return [target for target in both if _address(one, target) == _address(other, target)]


@check_environments("CT504", "two environments that change one and the same thing")
def environments_are_apart(specs: Specs) -> Iterator[Finding]:
    for (first, one), (second, other) in combinations(_real_last(specs), 2):
        related = (f"environments.{first}", "the other environment")
        common = _common_targets(one, other)
        if one.deployed_name == other.deployed_name and common:
            yield Finding(
                f"environments.{second}.shared",
                f"`{first}` and `{second}` are both called `{one.deployed_name}` in the same place on "
                f"{', '.join(common)}: each would move the other's champion, schedule and endpoint",
                f"remove `shared` in one of them, or give it addresses of its own by a patch of `targets.{common[0]}`",
                related,
            )
        elif "observe" not in (one.mode, other.mode):
            yield from _one_output(first, one, second, other)


def _one_output(first: str, one: Spec, second: str, other: Spec) -> Iterator[Finding]:
    outputs = {entry.batch.out.rstrip("/"): entry.name for entry in one.serving if entry.batch is not None}
    for entry in other.serving:
        if entry.batch is not None and entry.batch.out.rstrip("/") in outputs:
            does = "replaces what the other wrote" if entry.batch.write == "replace" else "adds its rows to the other's"
            yield Finding(
                f"environments.{second}.serving.{entry.name}.batch.out",
                f"`{first}` and `{second}` both write to {entry.batch.out}: each {does}",
                "give each its own output, by a variable that the environments patch",
                (f"serving.{outputs[entry.batch.out.rstrip('/')]}.batch.out", "the output"),
            )


@check_environments("CT505", "an environment for trying things that takes the name of the real one", Severity.WARNING)
def trials_leave_the_plain_name(specs: Specs) -> Iterator[Finding]:
    for name, spec in specs.items():
        if not spec.shared or spec.mode == "observe" or not _TRYING.search(name) or _PRODUCTION.search(name):
            continue
        for real, other in specs.items():
            # Two that share the name are CT504's.
            if _PRODUCTION.search(real) and not other.shared and _common_targets(spec, other):
                yield Finding(
                    f"environments.{name}.shared",
                    f"`shared: true` gives `{name}` the plain name `{spec.deployed_name}`, beside `{real}` in the same "
                    f"place as `{other.deployed_name}`: who looks for the model finds the one of `{name}`",
                    f"remove `shared` here; if one has the plain name, then `{real}`",
                    (f"environments.{real}", "the real one"),
                )
                break


@check_tree("CT506", "a contender from an environment that has none to give")
def contenders_come_from_somewhere(tree: Tree) -> Iterator[Finding]:
    environments: Mapping[str, Any] = tree.get("environments") or {}
    here = tree.get("contender")
    if not environments:
        if here is not None:
            message = "`contender` takes the champion of another environment, and the spec has no `environments`"
            yield Finding("contender", message, "write it in the patch of the environment that takes it over")
        return
    taken = {name: patch["contender"].get("from") for name, patch in environments.items() if _takes(patch)}
    if here is not None and here["from"] not in taken.values():
        yield from _for_all(environments, here["from"])
        return
    for name, source in taken.items():
        yield from _taken(environments, taken, name, source)


def _takes(patch: Any) -> bool:
    return isinstance(patch, Mapping) and isinstance(patch.get("contender"), Mapping)


def _for_all(environments: Mapping[str, Any], source: str) -> Iterator[Finding]:
    """A contender outside the environments holds in all that do not patch it, its own source among them."""
    if source not in environments:
        yield Finding("contender.from", f"there is no environment `{source}`", suggest(source, environments))
    elif "contender" not in (environments[source] or {}):
        message = f"this holds in every environment, so `{source}` would wait for a contender from itself"
        yield Finding("contender", message, "write it only in the environment that takes the model over")


def _taken(environments: Mapping[str, Any], taken: Mapping[str, Any], name: str, source: Any) -> Iterator[Finding]:
    path = f"environments.{name}.contender.from"
    if source is None:
        return
    if source not in environments:
        message = f"there is no environment `{source}`"
        yield Finding(path, message, suggest(source, [other for other in environments if other != name]))
    elif source == name:
        yield Finding(path, f"`{name}` would wait for a contender from itself", "name the environment that trains it")
    elif (environments[source] or {}).get("mode") == "observe":
        message = f"`{source}` only observes: it trains nothing, and never has a champion to hand on"
        yield Finding(path, message, "name one that acts", (f"environments.{source}.mode", "observes"))
    else:
        chain = _chain(taken, name)
        # The first of a circle tells of all of it.
        if chain and name == next(item for item in environments if item in chain):
            said = " from ".join(f"`{item}`" for item in (*chain, name))
            yield Finding(path, f"nobody trains: {said}", "let one of them train: leave `contender` out there")


def _chain(taken: Mapping[str, Any], name: str) -> list[str]:
    """The environments of a circle through `name`, in order; none where there is no circle."""
    chain, here = [name], taken[name]
    while here in taken and here not in chain:
        chain.append(here)
        here = taken[here]
    return chain if here == name and len(chain) > 1 else []


@check_environments("CT507", "environments that differ in nothing", Severity.WARNING)
def environments_differ(specs: Specs) -> Iterator[Finding]:
    seen: list[tuple[str, Spec]] = []
    for name, spec in _real_last(specs):
        plain = replace(spec, environment="")
        twin = next((first for first, other in seen if other == plain), None)
        if twin is None:
            seen.append((name, plain))
        # Where they share their names as well, CT504 speaks.
        elif not (spec.shared and spec.targets):
            yield Finding(
                f"environments.{name}",
                f"`{name}` is the same as `{twin}` but for its name: both train the same model from the same data",
                f"patch what differs; or write `contender: {{from: {twin}}}`, which takes over that champion untrained",
                (f"environments.{twin}", "the same"),
            )


@check_environments("CT508", "environments that are decided by different versions of ctc", Severity.WARNING)
def decisions_are_made_alike(specs: Specs) -> Iterator[Finding]:
    ordered = _real_last(specs)
    real = ordered[-1][0] if ordered else ""
    for name, spec in ordered:
        if spec.runtime_image != specs[real].runtime_image:
            yield Finding(
                f"environments.{name}.runtime.image",
                f"`{name}` decides with another image than `{real}`: the same data may be decided otherwise, so what "
                f"passes in `{name}` shows less about `{real}`",
                "set `runtime.image` once for all; or silence this while a new version is being tried",
                (f"environments.{real}", "the other image"),
            )


@check_tree("CT305", "a target's variable that is no address", Severity.WARNING)
def targets_change_addresses_only(tree: Tree) -> Iterator[Finding]:
    for target, settings in (tree.get("targets") or {}).items():
        for name, value in (settings.get("variables") or {}).items():
            if not isinstance(value, str) or _NO_ADDRESS.fullmatch(value.strip()):
                yield Finding(
                    f"targets.{target}.variables.{name}",
                    f"`{name}` is no address, and has a value of its own on {target}: the same spec would decide or "
                    "train differently there",
                    "set it in `variables` or in an environment; a target binds addresses, such as a lake or an image",
                )
