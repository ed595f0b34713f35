"""What a spec must mean: one function a rule. To add one, write it in a topic's file and its case in `tests/err`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from ctc.diagnostics import Diagnostic, Severity
from ctc.language import render, shape, source
from ctc.language.spec import Spec

TOPICS = ("data", "names", "gates", "training", "triggers")
"""The modules of this package that hold checks."""


@dataclass(frozen=True)
class Finding:
    """What a check says about a place of the spec; `related` is a second place that explains it, and its label."""

    path: str
    message: str
    help: str = ""
    related: tuple[str, str] | None = None


Function = Callable[[Spec], Iterator[Finding]]
OnTarget = Callable[[Spec, str], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """A code and what it finds. The rules that are no check of meaning have no function."""

    code: str
    title: str


@dataclass(frozen=True)
class Check(Rule):
    severity: Severity
    function: Function | None = None
    on_target: OnTarget | None = None


_REGISTRY: dict[str, Check] = {}


def check(code: str, title: str, severity: Severity = Severity.ERROR) -> Callable[[Function], Function]:
    """Registers a function over the spec. `title` completes the sentence "finds ..."."""

    def register(function: Function) -> Function:
        _add(Check(code, title, severity, function=function))
        return function

    return register


def check_on_target(code: str, title: str, severity: Severity = Severity.ERROR) -> Callable[[OnTarget], OnTarget]:
    """Registers a function over the spec and the target that it is checked for."""

    def register(function: OnTarget) -> OnTarget:
        _add(Check(code, title, severity, on_target=function))
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


def run(spec: Spec, target: str | None) -> Iterator[tuple[Diagnostic, tuple[str, str] | None]]:
    """The findings of every check, without places, each with its related path."""
    for item in registered():
        findings: Iterator[Finding] = iter(())
        if item.function is not None:
            findings = item.function(spec)
        elif item.on_target is not None and target is not None:
            findings = item.on_target(spec, target)
        for finding in findings:
            diagnostic = Diagnostic(item.code, item.severity, finding.message, finding.path, help=finding.help)
            yield diagnostic, finding.related


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
    codes = {**source.CODES, **shape.CODES, **render.CODES}
    return (*(Rule(code, title) for code, title in codes.items()), *registered())
