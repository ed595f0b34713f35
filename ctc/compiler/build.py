"""Spec to bundle for one target: lower, check against the target, emit."""

from __future__ import annotations

from dataclasses import dataclass

from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.compiler.target import Support, Target
from ctc.diagnostics import Diagnostic, Severity
from ctc.language.spec import Spec
from ctc.language.value import Value


@dataclass(frozen=True, eq=False, repr=False)
class Built(Value):
    """`bundle` is None where a diagnostic is an error."""

    system: System
    bundle: Bundle | None
    diagnostics: tuple[Diagnostic, ...]


def build(spec: Spec, target: Target) -> Built:
    """Compiles `spec` for `target`. An unsupported feature is an error with its reason; nothing is dropped."""
    system = lower(spec, target.NAME)
    diagnostics = (*_unsupported(system, target), *target.limits(system))
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
