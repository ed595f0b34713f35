"""Spec to bundle for one target: lower, check against the target, emit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.compiler.target import Support, Target
from ctc.diagnostics import Diagnostic, Severity
from ctc.language.spec import Spec
from ctc.value import Value, frozen


@frozen
class Built(Value):
    """`bundle` is None where a diagnostic is an error."""

    system: System
    bundle: Bundle | None
    diagnostics: tuple[Diagnostic, ...]


def build(spec: Spec, target: Target, native: Sequence[str] = ()) -> Built:
    """Compiles `spec` for `target`. An unsupported feature is an error with its reason; nothing is dropped.

    `native` are patterns (`trigger.*`) of features that the target has to carry by itself where the spec uses them.
    """
    system = lower(spec, target.NAME)
    diagnostics = (*_unsupported(system, target), *_emulated(system, target, native), *target.limits(system))
    if any(item.severity is Severity.ERROR for item in diagnostics):
        return Built(system, None, diagnostics)
    return Built(system, target.emit(system), diagnostics)


def _unsupported(system: System, target: Target) -> tuple[Diagnostic, ...]:
    found = []
    for feature, origin in system.features:
        capability = target.CAPABILITIES[feature]
        if capability.support is Support.UNSUPPORTED:
            found.append(
                Diagnostic(
                    "CT301", Severity.ERROR, f"{target.NAME} cannot do `{feature}`", origin, help=capability.reason
                )
            )
    return tuple(found)


def _emulated(system: System, target: Target, native: Sequence[str]) -> Iterator[Diagnostic]:
    for feature, origin in system.features:
        capability = target.CAPABILITIES[feature]
        if capability.support is Support.EMULATED and any(fnmatchcase(feature, pattern) for pattern in native):
            yield Diagnostic(
                "CT300",
                Severity.ERROR,
                f"{target.NAME} emulates `{feature}`, which is required to be native: {capability.reason}",
                origin,
                help="compile for another target, change the spec, or leave --require out",
            )
