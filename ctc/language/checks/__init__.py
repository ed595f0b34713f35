"""What a spec must mean: one function a rule. To add one, write it in a topic's file, its page in `explained/`, and its
case in `tests/err`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ctc.diagnostics import Diagnostic, Severity
from ctc.language import gaps, render, shape, source
from ctc.language.spec import Spec
from ctc.value import Value, frozen

if TYPE_CHECKING:
    from ctc.language.explained import Explanation

TOPICS = (
    "column_types",
    "cost",
    "data",
    "data_checks",
    "environments",
    "evaluation",
    "gates",
    "names",
    "power",
    "secrets",
    "serving",
    "time",
    "training",
    "triggers",
)
"""The modules of this package that hold checks."""


@frozen
class Finding(Value):
    """What a check says about a place of the spec; `related` is a second place that explains it, and its label."""

    path: str
    message: str
    help: str = ""
    related: tuple[str, str] | None = None


Tree = Mapping[str, Any]
OnSpec = Callable[[Spec], Iterator[Finding]]
OnTree = Callable[[Tree], Iterator[Finding]]
OnTarget = Callable[[Spec, str], Iterator[Finding]]
OnEnvironments = Callable[[Mapping[str, Spec]], Iterator[Finding]]


@frozen
class Rule(Value):
    """A code and what it finds. The rules that are no check of meaning are made where the code is found."""

    code: str
    title: str

    @property
    def explanation(self) -> Explanation:
        """Why it matters, with a wrong and a right example: its page in `explained/`."""
        from ctc.language.explained import explanation

        return explanation(self.code)


@frozen
class Check(Rule):
    """A rule with the one function that finds it."""

    severity: Severity
    on_spec: OnSpec | None = None
    on_tree: OnTree | None = None
    on_target: OnTarget | None = None
    on_environments: OnEnvironments | None = None


_REGISTRY: dict[str, Check] = {}


def check(code: str, title: str, severity: Severity = Severity.ERROR) -> Callable[[OnSpec], OnSpec]:
    """Registers a function over the spec. `title` completes the sentence "finds ..."."""

    def register(function: OnSpec) -> OnSpec:
        _add(Check(code, title, severity, on_spec=function))
        return function

    return register


def check_tree(code: str, title: str, severity: Severity = Severity.ERROR) -> Callable[[OnTree], OnTree]:
    """Registers a function over the rendered tree, for what the types no longer show."""

    def register(function: OnTree) -> OnTree:
        _add(Check(code, title, severity, on_tree=function))
        return function

    return register


def check_on_target(code: str, title: str, severity: Severity = Severity.ERROR) -> Callable[[OnTarget], OnTarget]:
    """Registers a function over the spec and the target that it is checked for."""

    def register(function: OnTarget) -> OnTarget:
        _add(Check(code, title, severity, on_target=function))
        return function

    return register


def check_environments(
    code: str, title: str, severity: Severity = Severity.ERROR
) -> Callable[[OnEnvironments], OnEnvironments]:
    """Registers a function over the spec as it is in each of its environments, by name; called where all are loaded."""

    def register(function: OnEnvironments) -> OnEnvironments:
        _add(Check(code, title, severity, on_environments=function))
        return function

    return register


def suggest(name: str, known: Iterable[str]) -> str:
    """The help for a name that refers to nothing."""
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(name, names, 1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"there are: {', '.join(names)}" if names else "there are none"


Found = tuple[Diagnostic, tuple[str, str] | None]
"""A finding without its place, and its related path."""


def run(spec: Spec, tree: Tree) -> Iterator[Found]:
    """The findings, on one rendered spec, of the checks that no target matters to."""
    for item in registered():
        if item.on_spec is not None:
            yield from _found(item, item.on_spec(spec))
        elif item.on_tree is not None:
            yield from _found(item, item.on_tree(tree))


def run_on_target(spec: Spec, target: str) -> Iterator[Found]:
    """The findings of the checks of a spec on its target."""
    for item in registered():
        if item.on_target is not None:
            yield from _found(item, item.on_target(spec, target))


def run_on_environments(specs: Mapping[str, Spec]) -> Iterator[Found]:
    """The findings of the checks that compare environments."""
    for item in registered():
        if item.on_environments is not None:
            yield from _found(item, item.on_environments(specs))


def _found(item: Check, findings: Iterator[Finding]) -> Iterator[Found]:
    for finding in findings:
        yield Diagnostic(item.code, item.severity, finding.message, finding.path, help=finding.help), finding.related


@cache
def registered() -> tuple[Check, ...]:
    """Every check of meaning, by code."""
    for topic in TOPICS:
        import_module(f"ctc.language.checks.{topic}")
    return tuple(sorted(_REGISTRY.values(), key=lambda item: item.code))


def _add(item: Check) -> None:
    if item.code in _REGISTRY:
        raise ValueError(f"the code {item.code} is taken")
    _REGISTRY[item.code] = item


def __getattr__(name: str) -> tuple[Rule, ...]:
    # Lazy: the topics import this module.
    if name != "CHECKS":
        raise AttributeError(name)
    codes = {**source.CODES, **shape.CODES, **render.CODES, **gaps.CODES}
    return (*(Rule(code, title) for code, title in codes.items()), *registered())
