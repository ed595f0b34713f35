"""What `ctc validate` found in one spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctc.diagnostics import Diagnostic

if TYPE_CHECKING:
    from ctc.language.source import Document
    from ctc.language.spec import Spec


@dataclass(frozen=True)
class Judged:
    """One spec and what was found in it."""

    document: Document
    findings: tuple[Diagnostic, ...]
    specs: tuple[Spec, ...] = ()
    """As it is in each environment and row, where it has no error."""
